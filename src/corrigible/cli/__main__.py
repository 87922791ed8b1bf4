"""`python -m corrigible.cli`."""

from corrigible.cli import main

if __name__ == "__main__":
    main()
