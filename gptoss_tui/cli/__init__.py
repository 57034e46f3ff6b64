"""The command line: what is typed after `gptoss-chat`, and which front end or subcommand that means."""
