"""Completion of command lines in bash, zsh and fish: scripts for the shells, and their answers."""
