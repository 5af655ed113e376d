"""The design that most would begin with, to be measured beside ours."""
