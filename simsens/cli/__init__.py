"""The command line: parse, call one verb, report. Nothing heavier than click loads until it runs."""
