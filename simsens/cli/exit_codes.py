"""What the shell is told; the table of the manual."""

OK = 0  # converged and certified
UNEXPECTED = 1
BAD_INPUT = 2  # usage, files, numbers
NOT_CONVERGED = 3
CHECK_FAILED = 4
NOT_TRUSTED = 5  # the derivative is written, and marked
SOME_FAILED = 6  # of the members of a study
HUNG_UP = 129  # by SIGHUP, after saving
INTERRUPTED = 130  # by SIGINT, after saving
TERMINATED = 143  # by SIGTERM, after saving
