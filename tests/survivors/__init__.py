"""Counts the processes that shmooze and similar programs leave behind. See
`scripts/survivors --help`.
"""
