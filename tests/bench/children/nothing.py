"""A job that does nothing."""

from shmooze.modules.pymodule import JSONParentPoller


class Nothing(JSONParentPoller):
    def agree(self):
        pass

    def play(self):
        self.result(0)

    commands = {"init": agree, "play": play, "suspend": agree, "rm": agree}


if __name__ == "__main__":
    nothing = Nothing()
    while True:
        nothing.handle_one_command()
