"""The front panel of the power supply: it shows what is measured, and takes commands."""

from typing import Annotated

from supply import SupplyModule

Volts = Annotated[float, "What to set", {"minimum": 0, "maximum": 30, "unit": "V"}]
Amps = Annotated[float, "The most that may flow", {"minimum": 0, "maximum": 3, "unit": "A"}]


class Panel(SupplyModule):
    """The power supply, by hand."""

    parameters = {
        "instrument": "title",
        "output": "status",
        "voltage": {"type": "number", "unit": "V", "description": "Measured at the output"},
        "current": {"type": "number", "unit": "A"},
        "power": {"type": "number", "unit": "W"},
    }
    #: Seconds between two measurements.
    interval = 0.5

    def cmd_init(self, highest: Annotated[Volts, "The highest voltage that may be set"] = 12):
        super().cmd_init()
        self.highest = highest

    def cmd_play(self):
        super().cmd_play()
        self.set_parameters({"instrument": self.supply.ask("*IDN?"), "output": "off"})

    def cmd_suspend(self):
        super().cmd_suspend()
        self.set_parameters({"output": "off"})

    def do_set_voltage(self, volts: Volts) -> None:
        """Set the voltage."""
        if volts > self.highest:
            raise ValueError(f"{volts:g} V is more than the {self.highest:g} V that are allowed")
        self.supply.tell(f"VOLT {volts:g}")

    def do_set_current_limit(self, amps: Amps) -> None:
        """Set the current limit."""
        self.supply.tell(f"CURR {amps:g}")

    def do_switch(self, on: bool) -> None:
        """Switch the output on or off.

        Args:
            on: Whether there is to be a voltage at the output.
        """
        self.supply.tell("OUTP ON" if on else "OUTP OFF")
        self.set_parameters({"output": "on" if on else "off"})

    def drive(self):
        while True:
            self.sleep(self.interval)
            volts, amps = self.supply.measure("VOLT"), self.supply.measure("CURR")
            is_on = self.supply.ask("OUTP?") == "1"
            measured = {"voltage": volts, "current": amps, "power": volts * amps}
            shown = {name: round(value, 4) for name, value in measured.items()}
            self.set_parameters({"output": "on" if is_on else "off", **shown})


if __name__ == "__main__":
    Panel().run()
