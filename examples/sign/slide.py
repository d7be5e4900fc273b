"""A slide of a sign: a text, with a picture if there is one. The page shows it."""

from typing import Annotated, Literal

from shmooze.modules import Worker


class Slide(Worker):
    """A slide."""

    label = "{text}"
    parameters = {"text": "title", "picture": "image", "colour": str}

    def cmd_init(
        self,
        text: str,
        picture: Annotated[str, "A URL, or a file in the folder of the page"] = "",
        colour: Literal["blue", "green", "red", "black"] = "blue",
        seconds: Annotated[float, "How long it is shown; 0: until it is removed"] = 10,
    ):
        self.seconds = seconds
        self.set_parameters({"text": text, "colour": colour})
        if picture:
            self.set_parameters({"picture": picture})

    def work(self):
        if not self.seconds:
            self.stay()
        self.sleep(self.seconds)  # time in which another slide is shown does not count


if __name__ == "__main__":
    Slide().run()
