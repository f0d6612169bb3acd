"""What a scene is made of: classes, materials, and actors (things that stand somewhere).

Lengths in a scene are decimetres; :meth:`Scene.px` turns them into pixels by the row that a thing stands on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from d3s2bench.datasets.scene_painting import (
    IGNORE,
    WIDTH,
    Canvas,
    Colour,
    Dice,
    Ints,
    Region,
    box,
    ellipse,
    polygon,
    stroke,
)

_COLOURS: dict[str, Colour] = {
    "sky": (70, 130, 180),
    "building": (70, 70, 70),
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "grass": (152, 251, 152),
    "tree": (107, 142, 35),
    "water": (0, 90, 220),
    "mountain": (150, 110, 80),
    "car": (0, 0, 142),
    "pole": (153, 153, 153),
    "fence": (190, 153, 153),
    "person": (220, 20, 60),
    "bicycle": (119, 11, 32),
    "traffic sign": (220, 220, 0),
    "traffic light": (250, 170, 30),
    "animal": (255, 120, 60),
}
CLASSES: tuple[str, ...] = tuple(_COLOURS)
PALETTE: tuple[Colour, ...] = tuple(_COLOURS.values())
SKY, BUILDING, ROAD, SIDEWALK, GRASS, TREE, WATER, MOUNTAIN = range(8)
CAR, POLE, FENCE, PERSON, BICYCLE, SIGN, LIGHT, ANIMAL = range(8, 16)
VOID = IGNORE

VEHICLES = ((42, 15), (38, 15), (44, 14), (40, 16), (48, 21), (46, 19), (70, 28), (100, 30))
"""Length and height in decimetres; the last two are a lorry and a bus."""
DARK: Colour = (28, 28, 32)
SKIN: tuple[Colour, ...] = ((226, 180, 150), (190, 136, 100), (120, 80, 58))
CLOTHES: tuple[Colour, ...] = (
    (170, 40, 40), (40, 70, 140), (60, 60, 66), (200, 200, 196), (50, 110, 70), (200, 160, 60), (110, 70, 120),
    (36, 36, 44),
)  # fmt: skip
VIVID: tuple[Colour, ...] = (
    (220, 40, 40),
    (40, 90, 220),
    (240, 200, 40),
    (60, 190, 80),
    (240, 240, 236),
    (230, 110, 30),
)
PAINT: tuple[Colour, ...] = (
    (196, 198, 200), (60, 62, 68), (150, 30, 34), (40, 70, 130), (225, 225, 222), (120, 124, 128), (190, 150, 50),
    (40, 90, 70),
)  # fmt: skip
PLASTER: tuple[Colour, ...] = (
    (200, 190, 170), (170, 120, 90), (150, 160, 175), (206, 180, 120), (130, 130, 132), (160, 90, 74), (120, 140, 120)
)  # fmt: skip
ROOF: tuple[Colour, ...] = ((150, 70, 50), (90, 80, 78), (110, 60, 50), (70, 76, 90))
ASPHALT: tuple[Colour, ...] = ((84, 84, 90), (104, 104, 108), (66, 66, 74), (92, 90, 92))
PAVING: tuple[Colour, ...] = ((166, 160, 150), (152, 142, 132), (176, 146, 118), (158, 116, 98))
METAL: tuple[Colour, ...] = ((46, 48, 52), (60, 62, 62), (56, 46, 40), (34, 42, 38))
SEASONS: dict[str, tuple[Colour, tuple[Colour, ...]]] = {
    "summer": ((88, 124, 56), ((54, 92, 42), (70, 110, 48), (40, 74, 44))),
    "dry": ((160, 142, 86), ((84, 96, 50), (96, 104, 60), (60, 80, 46))),
    "autumn": ((124, 122, 66), ((168, 100, 40), (150, 74, 36), (60, 80, 44), (180, 140, 50))),
    "spring": ((104, 146, 62), ((110, 140, 60), (206, 160, 170), (80, 124, 56))),
    "winter": ((186, 196, 190), ((90, 80, 72), (120, 116, 112), (44, 64, 52))),
}


@dataclass
class Scene:
    """A canvas with a camera: the horizon's row, the height of the eye in decimetres, and what stands around."""

    dice: Dice
    canvas: Canvas
    horizon: int
    eye: int
    season: str
    queue: list[tuple[int, int, Actor]] = field(default_factory=list)

    def px(self, length: int, y: int) -> int:
        """Pixels, at least 1, of ``length`` decimetres on row ``y`` of the ground."""
        return max(1, (length * (y - self.horizon) + self.eye // 2) // self.eye)

    def far(self, y: int) -> int:
        """How much haze lies before row ``y`` of the ground, 0…255."""
        return min(230, 900 // (max(0, y - self.horizon) + 4))

    def put(self, actor: Actor, x: int, y: int) -> None:
        """Queues an actor that stands at column ``x`` on row ``y``."""
        self.queue.append((y, x, actor))

    def scatter(self, actor: Actor, count: int, top: int, bottom: int) -> None:
        """Queues ``count`` actors somewhere between two rows."""
        for _ in range(count):
            self.put(actor, self.dice.below(WIDTH), self.nearby(top, max(top, bottom)))

    def nearby(self, top: int, bottom: int) -> int:
        """A row between two, more often a near one."""
        return max(self.dice.between(top, bottom), self.dice.between(top, bottom))

    def play(self) -> None:
        """Paints the queue from far to near."""
        for y, x, actor in sorted(self.queue, key=lambda entry: entry[:2]):
            actor(self, x, y)

    def shadow(self, x: int, y: int, width: int) -> None:
        """Darkens the ground around a foot point."""
        self.canvas.shade(ellipse(x + width // 4, y, width // 2 + 1, max(1, width // 9)), 150)


Actor: TypeAlias = Callable[[Scene, int, int], None]
Layout: TypeAlias = Callable[[Scene], None]


# Materials: colours (h, w, 3) of a region.


def facade(s: Scene, area: Region, floor: int, column: int, x0: int, y1: int) -> Ints:
    """A wall with rows of windows; ``floor`` and ``column`` are their spacing in pixels from the corner (x0, y1)."""
    style, wall = s.dice.below(4), s.dice.near(s.dice.pick(PLASTER), 26)
    glass = s.dice.near(s.dice.pick((DARK, (70, 84, 100), (130, 150, 170), (210, 190, 120))), 16)
    up, along = (y1 - 1 - area.y) % floor, (area.x - x0) % column
    colours = s.canvas.textured(area, wall, 40, s.dice.pick(("pixel", "leaf", "streak", "patch")))
    window = (up * 3 >= floor) & (along * 5 >= column * 2) if style else (up > 0) & (along > 0)
    if style == 2:
        window = (up * 2 >= floor) & (along >= 0)
    if style == 3:
        colours = np.where(((up + along) % 2 == 0)[..., None], colours * 218 >> 8, colours)
    pane = s.canvas.textured(area, glass, 90, "patch")
    return np.where(window[..., None], pane, colours) if floor > 2 and column > 1 else colours


def leaves(s: Scene, area: Region, colour: Colour, cy: int, ry: int) -> Ints:
    """Foliage: mottled, and darker towards its lower side."""
    light = np.clip(256 - (area.y - cy) * 70 // max(1, ry), 170, 330)[..., None]
    return s.canvas.textured(area, s.canvas.textured(area, colour, 50, "pixel") * light >> 8, 70, "leaf")


# Actors: each paints itself with its foot at (x, y).


def tower(s: Scene, x: int, y: int) -> None:
    """A block seen from the front."""
    wide, high = s.px(s.dice.between(70, 160), y), s.px(s.dice.between(80, 260), y)
    area = box(x - wide // 2, y - high, x - wide // 2 + wide, y)
    floor, column = s.px(s.dice.between(28, 38), y), s.px(s.dice.between(20, 40), y)
    s.canvas.paint(area, BUILDING, facade(s, area, max(2, floor), max(2, column), x, y), s.far(y))
    if s.dice.chance(600):
        shop = box(x - wide // 2, y - s.px(26, y), x - wide // 2 + wide, y)
        s.canvas.paint(shop, None, s.canvas.textured(shop, s.dice.near(s.dice.pick(PLASTER), 20), 80, "patch"))


def house(s: Scene, x: int, y: int) -> None:
    """A house with a gable or a hipped roof, windows and a door."""
    wide, wall = s.px(s.dice.between(80, 130), y), s.px(s.dice.between(28, 56), y)
    left, top = x - wide // 2, y - wall
    area, roof = box(left, top, left + wide, y), s.px(s.dice.between(24, 46), y)
    s.canvas.paint(area, BUILDING, facade(s, area, max(3, s.px(28, y)), max(3, s.px(26, y)), left, y), s.far(y))
    flat = s.dice.pick((0, 0, wide // 3, wide // 2))
    tiles = polygon((left - 1, top), (x - flat // 2, top - roof), (x + flat // 2, top - roof), (left + wide, top))
    colour = SEASONS["winter"][0] if s.season == "winter" else s.dice.near(s.dice.pick(ROOF), 20)
    s.canvas.paint(tiles, BUILDING, s.canvas.textured(tiles, colour, 60, "ripple"), s.far(y))
    door = box(x, y - s.px(20, y), x + s.px(9, y), y)
    s.canvas.paint(door, None, s.dice.near(s.dice.pick(ROOF), 10))


def tree(s: Scene, x: int, y: int) -> None:
    """A broad tree, a conifer or a bush."""
    kind, colour = s.dice.below(10), s.dice.near(s.dice.pick(SEASONS[s.season][1]), 18)
    high = s.px(s.dice.between(45, 110), y)
    s.shadow(x, y, high // 2)
    if kind < 6:
        _broad_tree(s, x, y, high, colour)
    elif kind < 8:
        _conifer(s, x, y, high, s.dice.near((40, 66, 50), 14))
    else:
        bush(s, x, y)


def _trunk(s: Scene, x: int, y: int, high: int) -> None:
    half = high // 14
    bark = box(x - half, y - high, x + half + 1, y)
    s.canvas.paint(bark, TREE, s.canvas.textured(bark, s.dice.near((84, 66, 50), 16), 60, "streak"), s.far(y))


def _broad_tree(s: Scene, x: int, y: int, high: int, colour: Colour) -> None:
    _trunk(s, x, y, high * 2 // 3)
    rx, ry = max(2, high * s.dice.between(22, 38) // 100), max(2, high * s.dice.between(28, 36) // 100)
    _crown(s, ellipse(x, y - high + ry, rx, ry), x, y - high + ry, rx, ry, colour, s.far(y))


def _crown(s: Scene, area: Region, cx: int, cy: int, rx: int, ry: int, colour: Colour, far: int) -> None:
    """Foliage with a ragged outline: the noise decides near the border."""
    off = ((area.x - cx) ** 2 * 256) // (rx * rx + 1) + ((area.y - cy) ** 2 * 256) // (ry * ry + 1)
    ragged = area.where(off + s.canvas.noise["leaf"][area.rows, area.cols] < 370)
    s.canvas.paint(ragged, TREE, leaves(s, area, colour, cy, ry), far)


def _conifer(s: Scene, x: int, y: int, high: int, colour: Colour) -> None:
    _trunk(s, x, y, high // 3)
    half, low = max(1, high // 4), y - high // 6
    area = polygon((x - half, low), (x, y - high), (x + half, low))
    s.canvas.paint(area, TREE, leaves(s, area, colour, y - high // 2, high // 2), s.far(y))


def bush(s: Scene, x: int, y: int) -> None:
    """A low round plant, a tree to the annotator."""
    rx, ry = s.px(s.dice.between(10, 24), y), s.px(s.dice.between(6, 12), y)
    colour = s.dice.near(s.dice.pick(SEASONS[s.season][1]), 16)
    _crown(s, ellipse(x, y - ry, rx, ry), x, y - ry, rx, ry, colour, s.far(y))


def car(s: Scene, x: int, y: int) -> None:
    """A vehicle from the side: saloon, van, lorry or bus."""
    long, high = s.dice.pick(VEHICLES if s.px(30, y) < 26 else VEHICLES[:-2])
    length, tall, left = s.px(long, y), s.px(high, y), x - s.px(long, y) // 2
    colour, far = s.dice.near(s.dice.pick(PAINT), 20), s.far(y)
    s.canvas.shade(box(left - 1, y - 1, left + length + 1, y + max(1, tall // 6)), 110)
    wheel = max(1, tall // 6) if high < 25 else max(1, tall // 9)
    body = box(left, y - tall * (60 if high < 19 else 100) // 100, left + length, y - wheel)
    s.canvas.paint(body, CAR, s.canvas.textured(body, colour, 40, "patch"), far)
    top, sill = y - tall, y - tall * 55 // 100
    cabin = polygon(
        (left + length // 6, sill),
        (left + length // 3, top),
        (left + length * 3 // 4, top),
        (left + length * 9 // 10, sill),
    )
    s.canvas.paint(cabin, CAR, s.dice.near(colour, 8), far)
    _windows(s, left + length // 4, top + 1, left + length * 5 // 6, sill, max(3, length // 4))
    for cx in (left + length // 5, left + length * 4 // 5):
        s.canvas.paint(ellipse(cx, y - wheel, wheel, wheel), CAR, DARK, far)


def _windows(s: Scene, x0: int, y0: int, x1: int, y1: int, pitch: int) -> None:
    area = box(x0, y0, x1, y1)
    glass = s.canvas.textured(area, s.dice.near((62, 76, 90), 24), 60, "leaf")
    s.canvas.paint(area.where((area.x - x0) % pitch > 0), None, glass)


def car_on_lane(s: Scene, x: int, y: int) -> None:
    """A vehicle from behind or from the front."""
    wide, tall = s.px(18, y), s.px(s.dice.pick((14, 15, 17, 22, 30)), y)
    left, colour, far = x - wide // 2, s.dice.near(s.dice.pick(PAINT), 20), s.far(y)
    s.canvas.shade(box(left - 1, y - 1, left + wide + 1, y + max(1, tall // 8)), 100)
    body = box(left, y - tall * 3 // 5, left + wide, y - max(1, tall // 8))
    roof = polygon(
        (left, y - tall // 2),
        (left + wide // 6, y - tall),
        (left + wide - 1 - wide // 6, y - tall),
        (left + wide - 1, y - tall // 2),
    )
    for part in (roof, body):
        s.canvas.paint(part, CAR, s.canvas.textured(part, colour, 40, "leaf"), far)
    s.canvas.paint(
        box(left + wide // 5, y - tall * 9 // 10, left + wide * 4 // 5, y - tall * 3 // 5),
        None,
        s.dice.near((54, 66, 80), 20),
    )
    lamp, size = s.dice.pick(((200, 40, 36), (240, 236, 200))), max(1, wide // 7)
    for cx in (left, left + wide // 5 * 4):
        s.canvas.paint(box(cx, y - tall // 2, cx + size, y - tall // 2 + size), None, lamp)
        s.canvas.paint(box(cx, y - tall // 4, cx + wide // 5, y), CAR, DARK, far)


def person(s: Scene, x: int, y: int) -> None:
    """Someone standing or walking."""
    tall, far = max(4, s.px(s.dice.between(16, 20), y)), s.far(y)
    half, stride = max(1, tall // 7), s.dice.below(1 + tall // 7)
    coat, legs = s.dice.near(s.dice.pick(VIVID), 16), s.dice.near(s.dice.pick(CLOTHES), 20)
    s.shadow(x, y, tall // 2)
    for foot, hip in ((x - half - stride, x - half), (x + half - 1 + stride, x)):
        leg = polygon((hip, y - tall // 2), (hip + half - 1, y - tall // 2), (foot + half - 1, y - 1), (foot, y - 1))
        s.canvas.paint(leg, PERSON, legs, far)
    trunk = box(x - half, y - tall * 5 // 6, x + half, y - tall * 4 // 10)
    s.canvas.paint(trunk, PERSON, s.canvas.textured(trunk, coat, 50, "leaf"), far)
    head = max(2, tall // 6)
    s.canvas.paint(box(x - head // 2, y - tall, x + (head + 1) // 2, y - tall + head), PERSON, s.dice.pick(SKIN), far)


def bicycle(s: Scene, x: int, y: int) -> None:
    """A bicycle from the side, half of the time with a rider."""
    r, colour = max(2, s.px(6, y)), s.dice.near(s.dice.pick(VIVID), 16)
    far, reach = s.far(y), max(3, s.px(9, y))
    if s.dice.chance(450):
        person(s, x, y - r // 2)
    hub, saddle = y - r - 1, y - r * 5 // 2 - 1
    for cx in (x - reach, x + reach):
        disc, hole = ellipse(cx, hub, r, r), ellipse(cx, hub, r - 1, r - 1)
        s.canvas.label[disc.rows, disc.cols][disc.inside] = BICYCLE
        rim = disc.where(4 * ((disc.x - cx) ** 2 + (disc.y - hub) ** 2) > (2 * r - 2) ** 2)
        s.canvas.paint(rim if hole.inside.size else disc, BICYCLE, DARK, far)
    for line in ((x - reach, hub, x - reach // 3, saddle), (x - reach // 3, saddle, x + reach * 2 // 3, saddle),
                 (x, hub, x + reach * 2 // 3, saddle), (x, hub, x - reach // 3, saddle),
                 (x + reach, hub, x + reach * 2 // 3, saddle - 1)):  # fmt: skip
        s.canvas.paint(stroke(*line), BICYCLE, colour, far)


def _post(s: Scene, x: int, y: int, tall: int) -> int:
    """A pole ``tall`` decimetres high; gives the row of its top."""
    thick, top = max(1, s.px(4, y)), y - s.px(tall, y)
    post = box(x, top, x + thick, y)
    s.canvas.paint(post, POLE, s.canvas.textured(post, s.dice.near(s.dice.pick(METAL), 14), 40), s.far(y))
    return top


def lamp_post(s: Scene, x: int, y: int) -> None:
    """A street lamp, its arm to one side."""
    top, reach = _post(s, x, y, s.dice.between(50, 85)), s.px(s.dice.between(8, 16), y)
    left = x if s.dice.chance(500) else x - reach
    s.canvas.paint(box(left, top, left + reach + 1, top + 1), POLE, s.dice.near((80, 82, 84), 10), s.far(y))


def sign(s: Scene, x: int, y: int) -> None:
    """A traffic sign on a pole: round, triangular, square or an octagon of a kind."""
    top, r = _post(s, x, y, s.dice.between(24, 34)), max(2, s.px(7, y))
    rim, inner = s.dice.pick((((190, 36, 40), (232, 230, 226)), ((40, 80, 170), (40, 80, 170)),
                              ((190, 36, 40), (190, 36, 40)),
                              ((226, 180, 40), (40, 40, 40)), ((40, 80, 170), (230, 232, 236))))  # fmt: skip
    shape = s.dice.below(3)
    board = (ellipse(x, top, r, r), box(x - r, top - r, x + r + 1, top + r + 1),
             polygon((x - r, top + r), (x, top - r), (x + r, top + r)))[shape]  # fmt: skip
    s.canvas.paint(board, SIGN, rim, s.far(y))
    s.canvas.paint(ellipse(x, top + (r > 2 and shape == 2), r // 2, r // 2), None, inner)


def panel(s: Scene, x: int, y: int) -> None:
    """A wide direction board on two poles."""
    wide, far, colour = (
        s.px(s.dice.between(24, 40), y),
        s.far(y),
        s.dice.pick(((30, 100, 70), (40, 76, 160), (214, 170, 50))),
    )
    for foot in (x - wide // 3, x + wide // 3):
        top = _post(s, foot, y, 40)
    area = box(x - wide // 2, top - s.px(12, y), x + wide // 2 + 1, top + s.px(4, y))
    s.canvas.paint(area, SIGN, colour, far)
    s.canvas.paint(area.where(((area.y - area.y[:1]) % 3 == 1) & ((area.x * 7 >> 2) % 4 > 0)), None, (226, 228, 226))


def traffic_light(s: Scene, x: int, y: int) -> None:
    """A dark box with a bright frame and three lamps, one of them lit, on a pole."""
    top, half = _post(s, x, y, s.dice.between(28, 34)), max(1, s.px(5, y))
    case, frame = s.dice.near((34, 36, 34), 10), s.dice.pick(((236, 190, 50), (226, 226, 220)))
    s.canvas.paint(box(x - half - 1, top - half * 3 - 1, x + half + 2, top + half * 3 + 1), LIGHT, frame, s.far(y))
    s.canvas.paint(box(x - half, top - half * 3, x + half + 1, top + half * 3), LIGHT, case, s.far(y))
    lit = s.dice.below(3)
    lamp = ((235, 60, 46), (246, 190, 60), (70, 220, 130))[lit]
    s.canvas.paint(ellipse(x, top + (lit - 1) * half * 2, half * 2 // 3, half * 2 // 3), None, lamp)


def animal(s: Scene, x: int, y: int) -> None:
    """A cow, a horse, a sheep or a dog from the side."""
    long, high, coats = s.dice.pick((
        (23, 16, ((120, 74, 46), (224, 220, 212), (50, 44, 42))),
        (23, 19, ((104, 66, 42), (60, 46, 40), (200, 186, 160))),
        (15, 12, ((222, 214, 198), (196, 186, 166))),
        (12, 9, ((160, 110, 60), (60, 52, 48), (210, 190, 150))),
    ))  # fmt: skip
    rx, tall, far = max(2, s.px(long, y) // 2), max(4, s.px(high, y)), s.far(y)
    coat, turn = s.dice.near(s.dice.pick(coats), 14), s.dice.pick((-1, 1))
    s.shadow(x, y, rx * 2)
    for leg in (x - rx + rx // 4, x - rx // 2, x + rx // 2, x + rx - rx // 4):
        s.canvas.paint(box(leg, y - tall // 2, leg + max(1, rx // 5), y), ANIMAL, tuple(c * 3 // 4 for c in coat), far)
    ry = max(1, tall // 4)
    body = ellipse(x, y - tall + ry + tall // 5, rx, ry)
    patches = s.canvas.textured(body, coat, 150 if long == 23 and s.dice.chance(500) else 50, "leaf")
    s.canvas.paint(body, ANIMAL, patches, far)
    head = max(1, tall // 7)
    hx = x + turn * (rx + head // 2)
    s.canvas.paint(ellipse(hx, y - tall + head, head + head // 2, head), ANIMAL, s.dice.near(coat, 24), far)


def thing(s: Scene, x: int, y: int) -> None:
    """Something nobody annotated: a bin, a rock, a parasol."""
    wide, tall = s.px(s.dice.between(6, 14), y), s.px(s.dice.between(7, 14), y)
    area = s.dice.pick(
        (box(x - wide // 2, y - tall, x + wide // 2 + 1, y), ellipse(x, y - tall // 2, wide // 2 + 1, tall // 2))
    )
    s.canvas.paint(area, VOID, s.canvas.textured(area, s.dice.near((110, 104, 96), 60), 70), s.far(y))


def fence(s: Scene, y: int, x0: int, x1: int, drop: int) -> None:
    """A fence from (x0, y) to (x1, y + drop): pickets, rails, mesh or a hoarding; its gaps count as fence too."""
    kind, high = s.dice.below(4), max(3, s.px(s.dice.between(11, 17), y))
    colour = s.dice.near(s.dice.pick(((232, 230, 224), (112, 78, 48), (150, 96, 60), (50, 66, 52))), 16)
    low = y + drop
    area = polygon((x0, y - high), (x1, low - high), (x1, low), (x0, y))
    foot = y + drop * (area.x - x0) // max(1, x1 - x0)
    up, pitch = foot - area.y, max(2, high // 3)
    slats = (area.x % pitch == 0, up >= 0, (area.x + area.y) % 3 == 0, (up + area.x * 0) % pitch == pitch - 1)[kind]
    rail = (up == high) | (up == high // 2) | (area.x % (high + 2) == 0)
    s.canvas.label[area.rows, area.cols][area.inside] = FENCE
    s.canvas.far[area.rows, area.cols][area.inside] = s.far(y)
    s.canvas.paint(area.where(slats | rail), None, s.canvas.textured(area, colour, 50, "streak"))


def fence_run(x0: int, x1: int, drop: int = 0) -> Actor:
    """A fence between two columns, as an actor."""
    return lambda s, _x, y: fence(s, y, x0, x1, drop)
