"""Where scenes take place: grounds, layouts (city, suburb, lake …) and light.

A layout paints sky and ground and queues actors; these are painted from far to near, so that near ones occlude.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from d3s2bench.datasets.scene_actors import (
    ASPHALT,
    BUILDING,
    GRASS,
    MOUNTAIN,
    PAVING,
    ROAD,
    SEASONS,
    SIDEWALK,
    SKY,
    TREE,
    WATER,
    Layout,
    Scene,
    animal,
    bicycle,
    bush,
    car,
    car_on_lane,
    facade,
    fence_run,
    house,
    lamp_post,
    leaves,
    panel,
    person,
    sign,
    thing,
    tower,
    traffic_light,
    tree,
)
from d3s2bench.datasets.scene_painting import (
    HEIGHT,
    WIDTH,
    Canvas,
    Colour,
    Dice,
    Ints,
    Light,
    Region,
    box,
    ellipse,
    polygon,
    ridge,
    under,
)

# Grounds.


def paint_sky(s: Scene) -> None:
    """A gradient from zenith to horizon with clouds."""
    zenith, low = s.dice.pick(SKIES)
    area, clouds = box(0, 0, WIDTH, HEIGHT), s.canvas.noise["cloud"]
    mix = np.clip(area.y * 256 // max(1, s.horizon), 0, 256)[..., None]
    top, bottom = np.asarray(s.dice.near(zenith, 14), np.int32), np.asarray(s.dice.near(low, 14), np.int32)
    colours = np.broadcast_to(top + ((bottom - top) * mix >> 8), (HEIGHT, WIDTH, 3))
    cover = (np.clip(clouds - s.dice.between(90, 230), 0, 100) * s.dice.between(100, 256) // 100)[..., None]
    white = np.asarray(s.dice.near((226, 226, 228), 24), np.int32)
    s.canvas.paint(area, SKY, colours + ((white - colours) * np.minimum(cover, 256) >> 8), 0)


SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((70, 120, 190), (180, 205, 225)), ((100, 150, 205), (200, 214, 222)), ((150, 156, 164), (190, 192, 194)),
    ((70, 80, 120), (226, 160, 110)), ((120, 130, 140), (160, 164, 166)), ((60, 66, 100), (120, 110, 130)),
)  # fmt: skip


def mountains(s: Scene) -> None:
    """One or two ranges of rock, forest, meadow or snow above the horizon."""
    for far in (150, 90)[s.dice.below(2) :]:
        line = ridge(
            s.dice, s.horizon - s.dice.between(10, 24), s.horizon - 2, s.dice.pick((16, 24, 32)), s.dice.below(4)
        )
        area = under(line, s.horizon + 1)
        rock = s.dice.near(
            s.dice.pick(((110, 104, 100), (78, 92, 66), (124, 104, 80), (90, 100, 120), (96, 88, 96))), 18
        )
        colours = s.canvas.textured(area, rock, 70, s.dice.pick(("leaf", "streak", "patch")))
        if s.dice.chance(350):
            snow = (area.y - line[None, :] + (s.canvas.noise["leaf"][area.rows, area.cols] >> 5) < 9)[..., None]
            colours = np.where(snow, np.asarray((226, 230, 236), np.int32), colours)
        s.canvas.paint(area, MOUNTAIN, colours, far)


def skyline(s: Scene) -> None:
    """Far blocks along the horizon, hazy."""
    x = -s.dice.below(12)
    while x < WIDTH:
        wide, high = s.dice.between(4, 13), s.dice.between(3, 15)
        area = box(x, s.horizon - high, x + wide, s.horizon + 1)
        s.canvas.paint(area, BUILDING, facade(s, area, 3, 2, x, s.horizon), s.dice.between(90, 170))
        x += wide + s.dice.pick((0, 0, 1, 5))


def woods(s: Scene) -> None:
    """A far belt of trees on the horizon."""
    high = s.dice.between(4, 10)
    area = under(ridge(s.dice, s.horizon - high, s.horizon, 8, 3), s.horizon + 2)
    colours = leaves(s, area, s.dice.near(s.dice.pick(SEASONS[s.season][1]), 14), s.horizon - 4, 6)
    s.canvas.paint(area, TREE, colours, s.dice.between(60, 130))


def backdrop(s: Scene, *kinds: Layout) -> None:
    """Each backdrop with even odds."""
    for kind in kinds:
        if s.dice.chance(500):
            kind(s)


def ground(s: Scene, area: Region, label: int) -> None:
    """Covers a region of the ground plane with road, sidewalk, grass or water."""
    colours = _SURFACES[label](s, area)
    s.canvas.paint(area, label, colours)
    far = np.broadcast_to(np.minimum(230, 900 // (np.maximum(0, area.y - s.horizon) + 4)), area.inside.shape)
    np.copyto(s.canvas.far[area.rows, area.cols], far, where=area.inside)


def _road(s: Scene, area: Region) -> Ints:
    colour = s.dice.near(s.dice.pick(ASPHALT), 14)
    return s.canvas.textured(area, s.canvas.textured(area, colour, 14, "pixel"), 30, s.dice.pick(("patch", "ripple")))


def _sidewalk(s: Scene, area: Region) -> Ints:
    """Slabs, in two tones so that their size shows the perspective."""
    colours = s.canvas.textured(area, s.dice.near(s.dice.pick(PAVING), 16), 40, s.dice.pick(("pixel", "patch")))
    depth = 1200 // (np.maximum(0, area.y - s.horizon) + 2)
    joint = (depth // s.dice.between(5, 12) + (area.x - 48) * depth // s.dice.between(300, 600)) % 2
    return np.where((joint == 0)[..., None], colours * 206 >> 8, colours)


def _grass(s: Scene, area: Region) -> Ints:
    colour = s.dice.near(SEASONS[s.season][0], 16)
    colours = s.canvas.textured(area, s.canvas.textured(area, colour, 34, "pixel"), 44, "patch")
    bare = (s.canvas.noise["leaf"][area.rows, area.cols] > s.dice.between(185, 290))[..., None]
    earth = np.asarray(s.dice.near((132, 112, 84), 16), np.int32)
    return np.where(bare, (colours + earth) >> 1, colours)


def _water(s: Scene, area: Region) -> Ints:
    """Ripples, and the sky in it."""
    colour = s.dice.near(
        s.dice.pick(((66, 104, 130), (84, 110, 104), (96, 124, 144), (70, 110, 136), (50, 80, 110))), 16
    )
    colours = s.canvas.textured(area, s.canvas.textured(area, colour, s.dice.between(30, 90), "ripple"), 16, "pixel")
    glint = (s.canvas.noise["ripple"] + (s.canvas.noise["pixel"] >> 2))[area.rows, area.cols] > s.dice.between(190, 300)
    return np.where(glint[..., None], np.asarray((206, 212, 216), np.int32), colours)


_SURFACES: dict[int, Callable[[Scene, Region], Ints]] = {ROAD: _road, SIDEWALK: _sidewalk, GRASS: _grass, WATER: _water}


def strips(s: Scene, *labels: int) -> list[int]:
    """Paints the ground in strips across the picture, from the horizon down; gives their borders' rows at x = 48."""
    tilt = s.dice.between(-16, 16)
    weights = [s.dice.between(2, 5) + 2 * k for k in range(len(labels))]
    rows, total = [s.horizon], sum(weights)
    for label, weight in zip(labels, weights, strict=True):
        line = np.full(WIDTH, rows[-1], np.int32)
        if len(rows) > 1:
            line += (np.arange(WIDTH, dtype=np.int32) - 48) * tilt * (rows[-1] - s.horizon) >> 12
        ground(s, under(line, HEIGHT), label)
        rows.append(rows[-1] + max(3, (HEIGHT - s.horizon) * weight // total))
        if label == ROAD:
            _lane(s, line, (min(HEIGHT, rows[-1]) - rows[-2]) // 2)
    return [*rows[:-1], HEIGHT]


def _lane(s: Scene, line: Ints, middle: int) -> None:
    """A kerb along the upper border of a road across the picture and dashes along its middle."""
    road, thick = under(line, HEIGHT), max(1, middle // 6)
    s.canvas.paint(road.where(road.y < line + thick), None, s.dice.near((176, 174, 168), 14))
    down, dash = road.y - line - middle, s.dice.between(8, 20)
    dashes = road.where((down >= 0) & (down < thick) & (road.x % dash * 2 < dash))
    s.canvas.paint(dashes, None, s.dice.pick(MARKS))


MARKS: tuple[Colour, ...] = ((220, 220, 214), (214, 180, 80))


@dataclass(frozen=True)
class Street:
    """A road that runs away from the camera: the vanishing column and its borders on the lowest row."""

    vanish: int
    left: int
    right: int

    def edge(self, s: Scene, side: int, y: int) -> int:
        """The column of the border ``side`` (a column on the lowest row) at row ``y``."""
        return self.vanish + (side - self.vanish) * (y - s.horizon) // (HEIGHT - s.horizon)

    def paint(self, s: Scene, label: int, widen: int = 0) -> None:
        """Covers the road, or a wider strip below it, with a surface."""
        ground(s, self._area(s, widen), label)
        if label == ROAD:
            kerb, inner = self._area(s, 0), self._area(s, -3)
            s.canvas.paint(kerb, None, s.dice.near((176, 174, 168), 14))
            ground(s, inner, label)

    def _area(self, s: Scene, widen: int) -> Region:
        low = (self.right + widen, HEIGHT), (self.left - widen, HEIGHT)
        return polygon((self.vanish - 1, s.horizon), (self.vanish + 1, s.horizon), *low)

    def marks(self, s: Scene) -> None:
        """A dashed or solid line along the middle, and on some roads along the sides."""
        middle, colour = (self.left + self.right) // 2, s.dice.pick(MARKS)
        area = box(0, s.horizon + 2, WIDTH, HEIGHT)
        near, dash = area.y - s.horizon, s.dice.between(20, 50) * s.dice.below(2)
        solid = (600 // near) % 40 >= dash // 2
        for at in (middle, self.left + 6, self.right - 6)[: s.dice.pick((1, 3))]:
            off = (area.x - self.vanish) - (at - self.vanish) * near // (HEIGHT - s.horizon)
            s.canvas.paint(area.where((abs(off) * 22 <= near) & (solid | (at != middle))), None, colour)


def _street(s: Scene, narrow: int, wide: int) -> Street:
    middle, half = s.dice.between(20, 76), s.dice.between(narrow, wide)
    return Street(s.dice.between(30, 66), middle - half, middle + half)


def _house_row(s: Scene, street: Street, side: int, outward: int) -> None:
    """Facades along a street, far to near, each with the wall that faces the street."""
    y = s.horizon + 3
    while y < HEIGHT + 20:
        near = y + max(3, (y - s.horizon) * s.dice.between(30, 80) // 100)
        _corner_house(s, street.edge(s, side, y), y, street.edge(s, side, near), near, outward)
        y = near + s.dice.pick((0, 0, 0, (near - s.horizon) // 3))


def _corner_house(s: Scene, x0: int, y0: int, x1: int, y1: int, outward: int) -> None:
    high = s.dice.between(60, 190)
    top0, top1 = y0 - s.px(high, y0), y1 - s.px(high, y1)
    corners = (
        ((x0, y0), (x0, top0), (x1, top1), (x1, y1)) if outward > 0 else ((x0, top0), (x0, y0), (x1, y1), (x1, top1))
    )
    wall = polygon(*corners)
    floor, column = max(3, s.px(32, (y0 + y1) // 2)), max(2, abs(x1 - x0) // s.dice.between(2, 5))
    s.canvas.paint(wall, BUILDING, facade(s, wall, floor, column, x0, y1), s.far(y0))
    front = box(x1, top1, WIDTH, y1) if outward > 0 else box(0, top1, x1 + 1, y1)
    s.canvas.paint(front, BUILDING, facade(s, front, floor, max(2, floor), x1, y1), s.far(y1))
    s.canvas.shade(wall if s.dice.chance(500) else front, 190)


# Layouts. Odds are in 1/1000; the rare classes are rare by them.


def city_street(s: Scene) -> None:
    """Between houses, along the street."""
    backdrop(s, skyline, woods)
    street, walk = _street(s, 22, 44), s.dice.between(14, 30)
    ground(s, box(0, s.horizon, WIDTH, HEIGHT), s.dice.pick((GRASS, SIDEWALK)))
    street.paint(s, SIDEWALK, walk)
    street.paint(s, ROAD)
    street.marks(s)
    _house_row(s, street, street.left - walk, -1)
    _house_row(s, street, street.right + walk, 1)
    _traffic(s, street, s.dice.below(4))
    _kerbside(s, street, walk)


def _traffic(s: Scene, street: Street, count: int) -> None:
    for _ in range(count):
        y, third = s.dice.between(s.horizon + 5, HEIGHT + 4), (street.right - street.left) // 4
        side = street.left + third if s.dice.chance(500) else street.right - third
        s.put(car_on_lane, street.edge(s, side, y), y)


def _kerbside(s: Scene, street: Street, walk: int) -> None:
    """What stands and walks on the sidewalks."""
    for actor, odds in ((lamp_post, 500), (lamp_post, 300), (sign, 170), (traffic_light, 80), (tree, 300),
                        (person, 450), (person, 300), (bicycle, 48), (thing, 150)):  # fmt: skip
        if s.dice.chance(odds):
            y, off = s.nearby(s.horizon + 8, HEIGHT - 2), s.dice.between(3, walk)
            side = street.left - off if s.dice.chance(500) else street.right + off
            s.put(actor, street.edge(s, side, y), y)


def city_front(s: Scene) -> None:
    """Across a street, at a row of houses."""
    order = (SIDEWALK, ROAD, SIDEWALK) if s.dice.chance(400) else (SIDEWALK, ROAD)
    s.horizon -= 6
    rows = strips(s, *order)
    x, base = -4, rows[0] + 6
    while x < WIDTH + 8:
        s.put(tower, x, base)
        x += s.dice.between(12, 26)
    _road_life(s, base, rows[1], rows[2], 2)
    _walkers(s, base + 2, rows[1] + 1)


def _road_life(s: Scene, top: int, kerb: int, bottom: int, cars: int) -> None:
    s.scatter(car, s.dice.below(cars + 1), kerb + 2, bottom)
    for actor, odds in ((lamp_post, 400), (sign, 170), (traffic_light, 90), (tree, 350), (thing, 120), (bicycle, 48)):
        if s.dice.chance(odds):
            s.scatter(actor, s.dice.between(1, 2), top + 1, kerb)


def _walkers(s: Scene, top: int, bottom: int) -> None:
    if s.dice.chance(500):
        s.scatter(person, s.dice.between(1, 3), top, bottom)


def suburb(s: Scene) -> None:
    """Houses behind gardens and fences."""
    backdrop(s, mountains, woods)
    rows = strips(s, *s.dice.pick(((GRASS, SIDEWALK, ROAD), (GRASS, ROAD), (GRASS, SIDEWALK, ROAD, GRASS))))
    x = s.dice.between(-10, 20)
    while x < WIDTH + 6:
        s.put(house, x, rows[0] + s.dice.between(5, max(6, rows[1] - rows[0])))
        x += s.dice.between(26, 48)
    s.scatter(tree, s.dice.between(1, 4), rows[0] + 3, rows[1])
    if s.dice.chance(700):
        s.put(fence_run(s.dice.between(-30, 30), s.dice.between(50, 120)), 0, rows[1])
    _road_life(s, rows[1] - 1, rows[2], rows[-1] + 1, 2)
    _walkers(s, rows[1], rows[2])
    if s.dice.chance(50):
        s.scatter(animal, 1, rows[1], rows[1] + 2)


def country_road(s: Scene) -> None:
    """A road through fields, towards hills."""
    backdrop(s, mountains, mountains, woods)
    ground(s, box(0, s.horizon, WIDTH, HEIGHT), GRASS)
    street = _street(s, 14, 40)
    street.paint(s, ROAD)
    street.marks(s)
    _verge(s, street, s.dice.below(5))
    _traffic(s, street, s.dice.below(3))
    y = s.dice.between(s.horizon + 7, HEIGHT - 6)
    _fields(s, y, street.edge(s, street.right, y) + 3, WIDTH + 6)
    for actor, odds in ((sign, 170), (panel, 60), (lamp_post, 250), (house, 250), (bicycle, 30)):
        if s.dice.chance(odds):
            y = s.dice.between(s.horizon + 6, HEIGHT - 8)
            s.put(actor, street.edge(s, street.left - 6 if s.dice.chance(500) else street.right + 6, y), y)


def _verge(s: Scene, street: Street, trees: int) -> None:
    """Trees beside a road."""
    for _ in range(trees):
        y, off = s.dice.between(s.horizon + 3, HEIGHT - 8), s.dice.between(8, 60)
        s.put(tree, street.edge(s, street.left - off if s.dice.chance(500) else street.right + off, y), y)


def _fields(s: Scene, y: int, x0: int, x1: int) -> None:
    """A fence between two columns, and cattle now and then."""
    if s.dice.chance(400):
        s.put(fence_run(x0, x1, s.dice.between(-2, 5)), 0, y)
    if s.dice.chance(120):
        s.scatter(animal, s.dice.between(2, 4), s.horizon + 10, HEIGHT - 4)


def motorway(s: Scene) -> None:
    """Several lanes, guard rails, boards."""
    backdrop(s, mountains, woods, skyline)
    ground(s, box(0, s.horizon, WIDTH, HEIGHT), GRASS)
    street = _street(s, 50, 80)
    street.paint(s, ROAD)
    street.marks(s)
    _traffic(s, street, s.dice.between(1, 5))
    if s.dice.chance(500):
        s.put(fence_run(s.dice.between(60, 80), WIDTH + 6, s.dice.between(2, 9)), 0, s.horizon + s.dice.between(7, 14))
    _verge(s, street, s.dice.below(4))
    for actor, odds in ((panel, 180), (lamp_post, 400), (lamp_post, 300)):
        if s.dice.chance(odds):
            y = s.dice.between(s.horizon + 6, s.horizon + 20)
            s.put(actor, street.edge(s, s.dice.pick((street.left - 8, street.right + 8)), y), y)


def waterfront(s: Scene) -> None:
    """A promenade at a river or the sea."""
    backdrop(s, skyline, mountains, woods)
    rows = strips(s, WATER, *s.dice.pick(((SIDEWALK,), (SIDEWALK, ROAD), (GRASS, SIDEWALK), (SIDEWALK, GRASS))))
    if s.dice.chance(650):
        s.put(fence_run(-4, WIDTH + 4), 0, rows[1] + 1)
    if s.dice.chance(120):
        s.scatter(thing, 1, s.horizon + 4, rows[1] - 2)
    for actor, odds in (
        (lamp_post, 450),
        (tree, 450),
        (tree, 250),
        (bicycle, 54),
        (thing, 200),
        (animal, 30),
        (person, 300),
    ):
        if s.dice.chance(odds):
            s.scatter(actor, 1, rows[1] + 1, HEIGHT - 3)
    _walkers(s, rows[1] + 2, HEIGHT - 2)


def park(s: Scene) -> None:
    """Lawns, a path, trees, perhaps a pond."""
    backdrop(s, skyline, woods, woods)
    ground(s, box(0, s.horizon, WIDTH, HEIGHT), GRASS)
    if s.dice.chance(350):
        rx = s.dice.between(16, 44)
        ground(s, ellipse(s.dice.below(WIDTH), s.dice.between(s.horizon + 9, HEIGHT - 4), rx, rx // 6 + 1), WATER)
    if s.dice.chance(700):
        _street(s, 6, 22).paint(s, SIDEWALK)
    s.scatter(tree, s.dice.between(2, 7), s.horizon + 3, HEIGHT - 4)
    _walkers(s, s.horizon + 7, HEIGHT - 3)
    for actor, odds in ((bicycle, 54), (animal, 70), (thing, 250), (lamp_post, 250), (bush, 400)):
        if s.dice.chance(odds):
            s.scatter(actor, 1, s.horizon + 8, HEIGHT - 4)


def lake(s: Scene) -> None:
    """Water below mountains, a meadow in front or behind."""
    mountains(s)
    backdrop(s, mountains, woods)
    shore = s.dice.pick(((WATER, GRASS), (GRASS, WATER), (GRASS, WATER, GRASS), (GRASS,)))
    rows = strips(s, *shore)
    s.scatter(tree, s.dice.below(6), rows[-2] + 3, HEIGHT - 4)
    if s.dice.chance(150):
        s.put(house, s.dice.below(WIDTH), s.horizon + s.dice.between(5, 10))
    if shore[-1] == GRASS:
        x0, y = s.dice.between(-20, 60), s.dice.between(rows[-2] + 4, HEIGHT - 2)
        _fields(s, y, x0, x0 + s.dice.between(25, 70))
    if s.dice.chance(150):
        s.scatter(thing, 1, s.horizon + 10, HEIGHT - 2)


LAYOUTS: tuple[Layout, ...] = (
    city_street, city_street, city_street, city_front, city_front, suburb, suburb, country_road, country_road,
    motorway, waterfront, waterfront, park, park, lake,
)  # fmt: skip


# Light.


def _sunshine(dice: Dice) -> Light:
    """The time of day and the weather: noon, evening, overcast, fog, dusk; and the camera's exposure."""
    sun, haze, dense = dice.pick((
        ((262, 258, 246), (206, 214, 222), 150), ((256, 256, 256), (200, 208, 216), 120),
        ((276, 248, 220), (222, 200, 176), 150), ((226, 230, 236), (190, 192, 196), 180),
        ((200, 206, 228), (140, 148, 168), 150), ((236, 238, 240), (204, 206, 208), 260),
    ))  # fmt: skip
    gain = dice.between(236, 276)
    r, g, b = (c * gain >> 8 for c in sun)
    return Light((r, g, b), haze, dice.between(dense // 3, dense), dice.between(-40, 60), dice.between(1, 6))


def _cast_shadows(s: Scene) -> None:
    """Shadows of clouds, or of things outside the picture, over the ground."""
    area = box(0, s.horizon + 1, WIDTH, HEIGHT)
    if s.dice.chance(300):
        s.canvas.shade(
            area.where(s.canvas.noise["cloud"][area.rows] > s.dice.between(120, 180)), s.dice.between(140, 200)
        )
    if s.dice.chance(250):
        x, lean = s.dice.between(-10, 90), s.dice.between(-30, 30)
        wide = s.dice.between(8, 40)
        corners = (x, s.horizon + 3), (x + wide // 3, s.horizon + 3), (x + wide + lean, HEIGHT), (x + lean, HEIGHT)
        s.canvas.shade(polygon(*corners), s.dice.between(120, 190))


def _compose(s: Scene, layout: Layout) -> None:
    """Paints ground first, then the shadows on it, then what stands there."""
    paint_sky(s)
    layout(s)
    _cast_shadows(s)
    s.play()


def render_scene(split: str, index: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image ``(64, 96, 3) uint8`` and train ids ``(64, 96) uint8`` (255 = ignore) of one item, from integers alone."""
    dice = Dice("scenes", seed, split, index)
    layout, season = dice.pick(LAYOUTS), dice.pick((*SEASONS, "summer", "spring", "summer"))
    scene = Scene(dice, Canvas(dice), dice.between(20, 32), dice.between(16, 26), season)
    _compose(scene, layout)
    return scene.canvas.develop(_sunshine(dice)), scene.canvas.annotated(dice.between(120, 200))
