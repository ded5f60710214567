"""`python -m venuekit` is the command `venuekit`."""

from venuekit.cli.main import main

main()
