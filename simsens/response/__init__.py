"""Where matter meets calculus: relaxation, and the response of the minimum to its parameters."""
