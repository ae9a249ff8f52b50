"""Typical microcontroller boards: flash for the model, RAM for its arena, and whether a model fits."""

from typing import NamedTuple

KIB, MIB = 1024, 1024**2
CLOSE = 0.5
"""The share of a board's flash or RAM above which a model is close: program, interpreter and stack need space too."""


def kib(count):
    """Return a number of bytes in words, in KiB of 1024 bytes each: "0.0781 KiB", "3.43 KiB", "1,024 KiB"."""
    size = count / KIB
    return f"{size:,.0f} KiB" if size >= 100 else f"{size:.3g} KiB"


class Board(NamedTuple):
    """A board: ``flash`` and ``ram`` in bytes, how its RAM is ``counted``, "" for all of it, and the ``source``, a URL.

    ``ram`` is the largest piece that one array can have, for the arena of LiteRT for Microcontrollers is one.
    """

    name: str
    flash: int
    ram: int
    counted: str
    source: str

    def verdict(self, flash, ram):
        """Return "fits", "close" or "does not fit" for a model of ``flash`` bytes whose arena has ``ram`` bytes."""
        share = max(flash / self.flash, ram / self.ram)
        return "does not fit" if share > 1 else "close" if share > CLOSE else "fits"


BOARDS = (
    Board(
        "B-L475E-IOT01A (STM32L475VG)",
        MIB,
        96 * KIB,
        "96 KiB of 128: another 32 lie apart",
        "https://docs.platformio.org/en/latest/boards/ststm32/disco_l475vg_iot01a.html",
    ),
    Board("BBC micro:bit V2 (nRF52833)", 512 * KIB, 128 * KIB, "", "https://tech.microbit.org/hardware/"),
    Board(
        "ESP32-DevKitC (ESP32)",
        4 * MIB,
        160 * KIB,
        "160 KiB of 520: an array can have no more",
        "https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-guides/memory-types.html",
    ),
    Board(
        "Arduino Nano 33 BLE Sense (nRF52840)",
        MIB,
        256 * KIB,
        "",
        "https://docs.arduino.cc/hardware/nano-33-ble-sense/",
    ),
    Board(
        "Raspberry Pi Pico (RP2040)",
        2 * MIB,
        264 * KIB,
        "",
        "https://datasheets.raspberrypi.com/pico/pico-product-brief.pdf",
    ),
    Board(
        "STM32F746G-DISCO (STM32F746NG)",
        MIB,
        320 * KIB,
        "320 KiB, without 16 for instructions and 4 of backup",
        "https://docs.kernel.org/arch/arm/stm32/stm32f746-overview.html",
    ),
)
"""The least RAM first. The flash of the Pico and of the ESP32 is a chip of its own on the board."""
