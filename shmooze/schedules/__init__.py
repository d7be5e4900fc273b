"""When items play, and schedules that add them. Loaded only where there are times or schedules."""
