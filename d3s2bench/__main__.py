"""``python -m d3s2bench`` is the command ``d3s2bench``."""

from d3s2bench.cli.app import main

if __name__ == "__main__":
    main()
