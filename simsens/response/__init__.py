"""Where matter meets calculus: relaxation, and how the relaxed structure answers to every parameter."""
