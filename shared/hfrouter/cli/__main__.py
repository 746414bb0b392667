"""`python -m hfrouter.cli`, the same as `hfrouter`."""

from hfrouter.cli import main

if __name__ == "__main__":
    main()
