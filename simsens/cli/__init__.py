"""The command line: parse, call one verb, report. Only click loads until a command runs."""
