"""`python -m galton` is the command line."""

from galton.cli.main import main

if __name__ == "__main__":
    main()
