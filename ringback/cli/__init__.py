"""The command line: one module per subcommand."""


def main() -> None: ...
