"""The entry: ``posthouse``, ``python -m posthouse``."""

from posthouse.cli.main import main

if __name__ == "__main__":
    main()
