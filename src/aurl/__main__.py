"""`python -m aurl`, the console script, and what `accelerate launch -m aurl` starts."""


def main() -> None:
    """Run the command line."""
    from aurl.cli.app import run

    run()


if __name__ == "__main__":
    main()
