"""Keys and certificates: what is made, what is found, and what is refused."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from bank_node.files import create_file, replace_file
from bank_node.identity import (
    Authority,
    AuthorityError,
    BadKeyError,
    CertificateError,
    CertificateRequestError,
    MissingKeyError,
    ReadableKeyError,
    SigningKey,
    certificate_request,
    check_certificate,
    create_signing_key,
    create_tls_key,
    expiry,
    find_credentials,
    find_signing_key,
    fingerprint,
    install_certificate,
    is_public_key,
    latest,
    verify,
)
from bank_node.identity.keys import _SMALL_ORDER
from graph_mpc.session import Member, SessionConfig, ThrowawayAuthority
from graph_mpc.session.tls import check_own_certificate, client_context, server_context

RELAXED = settings(deadline=None, max_examples=60)
NOW = 1_795_521_600_000_000
DAY = 86_400_000_000
KEY = SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def authority(folder: Path, consortium: str = "nordic") -> Authority:
    """A new authority."""
    return Authority.create(folder, consortium, lambda: NOW)


def member(keys: Path, issuer: Authority, name: str = "A", days: int = 800) -> str:
    """The certificate of a member with a new key."""
    request = certificate_request(create_tls_key(keys), issuer.consortium, name)
    return issuer.issue_member(request, name, days)


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_numbered_and_private(tmp_path: Path) -> None:
    """Each new key takes the number after the highest, has mode 0600, and replaces none."""
    keys = tmp_path / "keys"
    made = [create_signing_key(keys) for _ in range(3)]
    assert [path.name for path in made] == ["signing-1.pem", "signing-2.pem", "signing-3.pem"]
    made[1].unlink()
    assert create_signing_key(keys).name == "signing-4.pem"
    made[2].unlink()
    (keys / "signing-4.pem").unlink()
    assert create_tls_key(keys).name == "tls-1.pem"
    assert {mode(path) for path in keys.iterdir()} == {0o600}
    assert mode(keys) == 0o700
    assert latest(keys, "signing") == made[0]
    assert latest(keys, "other") is None


def test_a_key_in_the_making_is_never_seen_under_its_name(tmp_path: Path) -> None:
    """A file that is there is not replaced by a new one, and nothing is left beside it."""
    path = tmp_path / "signing-1.pem"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        create_file(path, b"other")
    assert path.read_text() == "mine"
    replace_file(path, b"whole", 0o644)
    assert [p.name for p in tmp_path.iterdir()] == ["signing-1.pem"]
    assert (path.read_text(), mode(path)) == ("whole", 0o644)


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    """Where the new file cannot take its place, the old one stays and no temporary file is left."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").touch()
    with pytest.raises(OSError, match="folder"):
        replace_file(tmp_path / "folder", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, bits: int) -> None:
    """Any right of group or others on a key is refused, and so is the folder that has it."""
    path = create_signing_key(tmp_path)
    public = SigningKey.load(path).public
    path.chmod(bits)
    with pytest.raises(ReadableKeyError, match=f"{bits:04o}"):
        SigningKey.load(path)
    with pytest.raises(ReadableKeyError):
        find_signing_key(tmp_path, public)


@pytest.mark.parametrize(
    "data", [b"", b"no key", bytes(range(256)), b"-----BEGIN PRIVATE KEY-----"]
)
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    """A broken key file is named, and nothing of it is repeated."""
    path = tmp_path / "signing-1.pem"
    create_file(path, data)
    with pytest.raises(BadKeyError, match=r"signing-1\.pem is no private key"):
        SigningKey.load(path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A TLS key does not sign, a signing key does no TLS, and a folder or nothing is no key."""
    signing, tls = create_signing_key(tmp_path), create_tls_key(tmp_path)
    with pytest.raises(BadKeyError, match="no Ed25519 key"):
        SigningKey.load(tls)
    with pytest.raises(BadKeyError, match="no EC P-256 key"):
        certificate_request(signing, "nordic", "A")
    with pytest.raises(MissingKeyError):
        SigningKey.load(tmp_path / "signing-9.pem")
    with pytest.raises(BadKeyError, match="is no file"):
        SigningKey.load(tmp_path)


def test_a_private_key_never_shows_itself(tmp_path: Path) -> None:
    """What a signing key prints as is its public half."""
    assert repr(KEY) == f"SigningKey({KEY.public})"
    assert repr(authority(tmp_path / "a")).count("key") == 0


@RELAXED
@given(message=st.binary(max_size=200), other=st.binary(max_size=200))
def test_a_signature_is_of_one_message(message: bytes, other: bytes) -> None:
    """A signature verifies for its own message and for no other."""
    signature = KEY.sign(message)
    assert verify(KEY.public, message, signature)
    assert verify(KEY.public, other, signature) == (other == message)


@RELAXED
@given(st.integers(0, 511))
def test_every_bit_of_a_signature_counts(bit: int) -> None:
    """A signature with any one bit changed is not one."""
    signature = bytearray(KEY.sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(KEY.public, b"message", bytes(signature))


@pytest.mark.parametrize(
    "public",
    [
        "",
        KEY.public[:-1],
        KEY.public + "0",
        KEY.public.upper(),
        f"{KEY.public}\n",
        f" {KEY.public}",
        KEY.public[:-2] + "zz",
        "٠" * 64,
    ],
)
def test_a_public_key_has_exactly_64_digits(public: str) -> None:
    """Anything else than 64 lower-case hex digits is no key; it raises nothing."""
    assert not is_public_key(public)
    assert not verify(public, b"message", KEY.sign(b"message"))


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_has_exactly_64_bytes(length: int) -> None:
    """A signature that is too short or too long is none."""
    assert not verify(KEY.public, b"message", (KEY.sign(b"message") * 2)[:length])


@pytest.mark.parametrize("raw", sorted(_SMALL_ORDER))
@pytest.mark.parametrize("sign", [0, 0x80])
def test_a_key_under_which_anybody_could_sign_is_refused(raw: bytes, sign: int) -> None:
    """For a key of small order a signature is found without a private key; it is not accepted."""
    encoded = raw[:31] + bytes([raw[31] | sign])
    forged = _forge(encoded)
    assert forged is None or not verify(encoded.hex(), *forged)
    assert not is_public_key(encoded.hex())
    if not sign:
        assert forged is not None


def _forge(public: bytes) -> tuple[bytes, bytes] | None:
    key = ed25519.Ed25519PublicKey.from_public_bytes(public)
    for attempt in range(64):
        message = str(attempt).encode()
        for point in _SMALL_ORDER:
            try:
                key.verify(point + bytes(32), message)
            except Exception:
                continue
            return message, point + bytes(32)
    return None


def test_an_authority_is_made_once_and_found_again(tmp_path: Path) -> None:
    """Its key is 0600, its certificate is read back, and a second one in the folder is refused."""
    made = authority(tmp_path / "authority")
    again = Authority.load(tmp_path / "authority")
    assert again.certificate_pem == made.certificate_pem
    assert again.consortium == "nordic"
    assert mode(tmp_path / "authority" / "authority.pem") == 0o600
    with pytest.raises(AuthorityError, match="there is an authority"):
        authority(tmp_path / "authority")
    (tmp_path / "authority" / "authority.crt").unlink()
    with pytest.raises(AuthorityError, match="without its certificate"):
        authority(tmp_path / "authority")
    with pytest.raises(AuthorityError, match=r"authority\.crt"):
        Authority.load(tmp_path / "authority")


def test_an_authority_with_another_ones_certificate_is_refused(tmp_path: Path) -> None:
    """Key and certificate of an authority belong together."""
    one, two = tmp_path / "one", tmp_path / "two"
    authority(one)
    replace_file(one / "authority.crt", authority(two).certificate_pem.encode(), 0o644)
    with pytest.raises(AuthorityError, match="do not belong together"):
        Authority.load(one)


def test_a_member_gets_the_certificate_that_workers_accept(tmp_path: Path) -> None:
    """An issued certificate passes the session's own check of it, and makes its TLS contexts."""
    issuer = authority(tmp_path / "authority")
    certificate = member(tmp_path / "keys", issuer)
    paths = install_certificate(tmp_path / "keys", certificate, issuer.certificate_pem)
    members = tuple(
        Member(name, "127.0.0.1", 9400 + i, fingerprint(certificate) if name == "A" else "")
        for i, name in enumerate("ABC")
    )
    config = SessionConfig(
        run_id="r1",
        consortium="nordic",
        me=0,
        members=members,
        certificate=paths.certificate,
        private_key=paths.private_key,
        authority=paths.authority,
    )
    check_own_certificate(config)
    assert server_context(config).verify_mode == ssl.CERT_REQUIRED
    assert client_context(config).verify_mode == ssl.CERT_REQUIRED
    check_certificate(certificate, issuer.certificate_pem, "nordic", "A")
    assert expiry(certificate) == NOW + 800 * DAY


def test_a_certificate_stands_the_strictest_check_of_openssl(tmp_path: Path) -> None:
    """Two members' certificates make a TLS connection with X.509 checked strictly."""
    issuer = authority(tmp_path / "authority")
    trusted = tmp_path / "trusted.crt"
    trusted.write_text(issuer.certificate_pem)
    contexts = []
    for name, kind in (("A", ssl.PROTOCOL_TLS_SERVER), ("B", ssl.PROTOCOL_TLS_CLIENT)):
        keys = tmp_path / name
        paths = install_certificate(keys, member(keys, issuer, name), issuer.certificate_pem)
        context = ssl.SSLContext(kind)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(paths.certificate, paths.private_key)
        context.load_verify_locations(trusted)
        contexts.append(context)
    server, client = _shake_hands(*contexts)
    assert server == "B"
    assert client == "A"


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str, str]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    names = []
    for end in ends:
        encoded = end.getpeercert(binary_form=True)
        assert encoded is not None
        subject = x509.load_der_x509_certificate(encoded).subject
        names.append(str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value))
    return names[0], names[1]


def _request(key: object, names: list[x509.GeneralName]) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A")])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]


def _uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


OWN = "urn:undercurrent:nordic:party:A"


@pytest.mark.parametrize(
    "names",
    [
        [],
        [_uri("urn:undercurrent:nordic:party:B")],
        [_uri("urn:undercurrent:other:party:A")],
        [_uri(OWN), _uri("urn:undercurrent:nordic:party:B")],
        [_uri(OWN), x509.DNSName("broker.example")],
        [x509.DNSName("A")],
    ],
)
def test_a_request_for_another_name_is_refused(
    tmp_path: Path, names: list[x509.GeneralName]
) -> None:
    """A request names its own party and nobody and nothing else."""
    request = _request(ec.generate_private_key(ec.SECP256R1()), names)
    with pytest.raises(CertificateRequestError, match="does not name A of nordic"):
        authority(tmp_path / "authority").issue_member(request, "A", 10)


def test_a_request_with_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    """Only EC P-256 keys get certificates."""
    issuer = authority(tmp_path / "authority")
    for key in (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        with pytest.raises(CertificateRequestError, match="no EC P-256 key"):
            issuer.issue_member(_request(key, [_uri(OWN)]), "A", 10)


def test_a_request_that_is_not_signed_with_its_key_is_refused(tmp_path: Path) -> None:
    """A request whose signature was made by another key is refused, and so is no request."""
    issuer = authority(tmp_path / "authority")
    good = x509.load_pem_x509_csr(
        _request(ec.generate_private_key(ec.SECP256R1()), [_uri(OWN)]).encode()
    )
    encoded = bytearray(good.public_bytes(Encoding.DER))
    encoded[-4] ^= 1
    forged = x509.load_der_x509_csr(bytes(encoded)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(CertificateRequestError):
        issuer.issue_member(forged, "A", 10)
    for text in ("", "no request", issuer.certificate_pem):
        with pytest.raises(CertificateRequestError, match="no PEM file"):
            issuer.issue_member(text, "A", 10)


def test_a_request_cannot_ask_for_more_than_a_member_gets(tmp_path: Path) -> None:
    """A request to be an authority gets a plain member's certificate: usages are not read."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.SubjectAlternativeName([_uri(OWN)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    text = request.public_bytes(Encoding.PEM).decode()
    issued = authority(tmp_path / "authority").issue_member(text, "A", 10)
    found = x509.load_pem_x509_certificate(issued.encode())
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "A"


def test_a_certificate_does_not_outlive_its_authority(tmp_path: Path) -> None:
    """No certificate ends after the authority's own, and none holds for no day."""
    issuer = authority(tmp_path / "authority")
    for days in (0, 365 * 20 + 1):
        with pytest.raises(AuthorityError, match="ends after the authority"):
            member(tmp_path / "keys", issuer, days=days)


def test_a_certificate_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Other authority, other consortium, other party, the broker, an authority, two in one file."""
    issuer, other = authority(tmp_path / "one"), authority(tmp_path / "two")
    own = member(tmp_path / "keys", issuer)
    broker = issuer.issue_server(["localhost"], tmp_path / "broker").certificate.read_text()
    throwaway = ThrowawayAuthority("nordic").issue("A", tmp_path / "t").certificate.read_text()
    for certificate, name, said in (
        (member(tmp_path / "keys", other), "A", "not issued by the consortium's authority"),
        (throwaway, "A", "not issued by the consortium's authority"),
        (own, "B", "names another party"),
        (broker, "A", "names another party"),
        (issuer.certificate_pem, "A", "names another party"),
        (own + own, "A", "exactly one"),
        ("", "A", "exactly one"),
    ):
        with pytest.raises(CertificateError, match=said):
            check_certificate(certificate, issuer.certificate_pem, "nordic", name)
    with pytest.raises(CertificateError, match="not self-signed"):
        check_certificate(own, own, "nordic", "A")


def test_a_certificate_for_one_end_only_is_refused(tmp_path: Path) -> None:
    """A party dials and is dialled, so its certificate must be for both."""
    issuer = authority(tmp_path / "authority")
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    usages = (x509.oid.ExtendedKeyUsageOID.SERVER_AUTH,)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A")])
    found = issuer._issue(subject, key, [_uri(OWN)], usages, 10)
    certificate = found.public_bytes(Encoding.PEM).decode()
    with pytest.raises(CertificateError, match="not for both ends"):
        check_certificate(certificate, issuer.certificate_pem, "nordic", "A")


def _made(key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, *, ca: bool) -> str:
    """A certificate for party A in every respect, but for who signs it and what it may do."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A")])
    both = [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName([_uri(OWN)]), critical=False)
    )
    return builder.sign(issuer, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_only_an_authority_issues_and_no_member_is_one() -> None:
    """A self-signed certificate that is no authority's issues none; a member's cannot be one."""
    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_, plain = _made(root, root, ca=True), _made(root, root, ca=False)
    check_certificate(_made(own, root, ca=False), authority_, "nordic", "A")
    with pytest.raises(CertificateError, match="no authority's"):
        check_certificate(_made(own, root, ca=False), plain, "nordic", "A")
    with pytest.raises(CertificateError, match="not for both ends"):
        check_certificate(_made(own, root, ca=True), authority_, "nordic", "A")


def test_the_brokers_certificate_names_its_hosts(tmp_path: Path) -> None:
    """Names and addresses stand in it; its key is private; names that are none are refused."""
    issuer = authority(tmp_path / "authority")
    paths = issuer.issue_server(["broker.example", "192.0.2.7", "::1"], tmp_path / "broker")
    found = x509.load_pem_x509_certificate(paths.certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "::1"]
    assert mode(paths.private_key) == 0o600
    assert found.not_valid_after_utc > datetime(2027, 1, 1, tzinfo=UTC)
    for bad in ([], ["bröker"]):
        with pytest.raises(AuthorityError):
            issuer.issue_server(bad, tmp_path / "broker")


def test_credentials_are_found_by_fingerprint(tmp_path: Path) -> None:
    """Each certificate is found with its own key and authority; nothing that is there is replaced.

    So a node can change keys, certificates and authority while the old agreement is in effect.
    """
    keys = tmp_path / "keys"
    first, second = authority(tmp_path / "one"), authority(tmp_path / "two")
    request = certificate_request(create_tls_key(keys), "nordic", "A")
    certificates = [first.issue_member(request, "A", 10), first.issue_member(request, "A", 20)]
    certificates += [member(keys, first), member(keys, second)]
    issuers = [first, first, first, second]
    for certificate, issuer in zip(certificates, issuers, strict=True):
        install_certificate(keys, certificate, issuer.certificate_pem)
        install_certificate(keys, certificate, issuer.certificate_pem)
    for certificate, issuer, number in zip(certificates, issuers, (1, 1, 2, 3), strict=True):
        paths = find_credentials(keys, fingerprint(certificate))
        assert paths.certificate.read_text() == certificate
        assert paths.authority.read_text() == issuer.certificate_pem
        assert paths.private_key == keys / f"tls-{number}.pem"
    assert len(list(keys.glob("*.crt"))) == 6


def test_missing_credentials_are_told(tmp_path: Path) -> None:
    """No certificate, no authority, no key, another's key, another's certificate: each is told."""
    issuer = authority(tmp_path / "authority")
    keys = tmp_path / "keys"
    certificate = member(keys, issuer)
    digest = fingerprint(certificate)
    with pytest.raises(MissingKeyError, match="no certificate"):
        find_credentials(keys, digest)
    with pytest.raises(MissingKeyError, match="none of the TLS keys"):
        install_certificate(keys, member(tmp_path / "other", issuer), issuer.certificate_pem)
    install_certificate(keys, certificate, issuer.certificate_pem)
    (keys / "authority.crt").unlink()
    with pytest.raises(MissingKeyError, match="authority"):
        find_credentials(keys, digest)
    replace_file(keys / "tls-1.pem", create_tls_key(tmp_path / "x").read_bytes())
    with pytest.raises(CertificateError, match="is not the key of"):
        find_credentials(keys, digest)
    (keys / "tls-1.pem").chmod(0o644)
    with pytest.raises(ReadableKeyError):
        find_credentials(keys, digest)
    with pytest.raises(MissingKeyError, match="no key in"):
        find_signing_key(keys, KEY.public)
