"""graph_mpc."""
