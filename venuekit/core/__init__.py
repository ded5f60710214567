"""Decisions without I/O: state machines that take evidence and time and return actions."""
