"""Repeatable measurements; the results stand in README.md beside this file."""
