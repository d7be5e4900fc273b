"""`shmz watch`: a queue or pool, shown live."""
