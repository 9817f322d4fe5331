"""`python -m opsbook` is `opsbook`."""

from opsbook.cli import main

main()
