"""`python -m corrigible.cli`."""

from corrigible.cli import main

main()
