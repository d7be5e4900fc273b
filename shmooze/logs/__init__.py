"""Log files of modules: what each has printed, with times, for as long as its history is kept."""
