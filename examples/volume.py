"""A custom service with the commands `get_vol` and `set_vol`.

Add it to the settings (`"ports": {…, "vol": 5600}`) and start it. The gateway then offers it:

    python examples/volume.py
    shmz -e vol set_vol vol=30
"""

from gevent import monkey

monkey.patch_all()

from shmooze.errors import CommandError
from shmooze.lib.service import JSONCommandProcessor, Service


class Volume(JSONCommandProcessor, Service):
    name = "vol"
    vol = 50

    def get_vol(self) -> int:
        return self.vol

    def set_vol(self, vol: int) -> None:
        if not 0 <= vol <= 100:
            raise CommandError(f"vol must be from 0 to 100, not {vol}")
        self.vol = vol

    commands = {"get_vol": get_vol, "set_vol": set_vol}
    read_cmds = ("get_vol",)


if __name__ == "__main__":
    Volume().serve_forever()
