"""A measurement: the current through what is connected to the supply, at one voltage after another.

It ends with its data as the result, which the history keeps.
"""

from typing import Annotated

from supply import SupplyModule

Volts = Annotated[float, {"minimum": 0, "maximum": 12, "unit": "V"}]


class Sweep(SupplyModule):
    """A current-voltage curve."""

    label = "{start} to {stop} V in {points} points"
    parameters = {
        "progress": "progress",
        "voltage": {"type": "number", "unit": "V"},
        "current": {"type": "number", "unit": "A"},
        "resistance": {"type": "number", "unit": "Ω"},
    }
    result_type = dict

    def cmd_init(
        self,
        start: Annotated[Volts, "The first voltage"] = 0.5,
        stop: Annotated[Volts, "The last voltage"] = 6,
        points: Annotated[int, "How many points", {"minimum": 2, "maximum": 500}] = 12,
        settle: Annotated[float, "Seconds before each", {"minimum": 0, "maximum": 60}] = 0.5,
        limit: Annotated[float, "Current limit", {"minimum": 0, "maximum": 3, "unit": "A"}] = 1,
    ):
        super().cmd_init()
        self.voltages = [start + (stop - start) * each / (points - 1) for each in range(points)]
        self.settle, self.limit = settle, limit
        self.watchdog += settle  # nothing is said to the supply meanwhile

    def drive(self):
        measured = []
        while len(measured) < len(self.voltages):
            self.wait_while_paused()
            turn = self.turns
            volts = self.voltages[len(measured)]
            self.supply.tell(f"CURR {self.limit:g}", f"VOLT {volts:.4f}", "OUTP ON")
            self.sleep(self.settle)
            if turn != self.turns:
                continue  # it was suspended, and the output off
            point = [self.supply.measure("VOLT"), self.supply.measure("CURR")]
            measured.append([round(value, 5) for value in point])
            self.report(len(measured) / len(self.voltages), *measured[-1])
        self.supply.tell("OUTP OFF")
        self.result({"columns": ["V", "A"], "points": measured})

    def report(self, progress, volts, amps):
        self.set_parameters({"progress": progress, "voltage": volts, "current": amps})
        if amps:
            self.set_parameters({"resistance": round(volts / amps, 4)})


if __name__ == "__main__":
    Sweep().run()
