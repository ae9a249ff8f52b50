"""Which folders of a tree are the classes, on which side of a given border, and what there is besides: all of it named."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
"""What is read, by Pillow's names; of a Pillow that was built without one, its files are named as not read."""

SIDES = ("train", "validation", "test")
_SIDE_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}
_FILLERS = {"set", "sets", "data", "dataset", "image", "images", "img", "imgs", "split", "samples", "part", "folder"}
_SIDE_WITH_FILLER = re.compile(f"({'|'.join(_SIDE_WORDS)})({'|'.join(_FILLERS)})")
# What operating systems, editors and archives leave behind.
_HIDDEN = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found"}
_MOST_NAMED = 10


@dataclass(frozen=True)
class ImageFile:
    """An image file, its class, and the side of a given border: one of ``SIDES``, or "" for none."""

    path: Path
    class_name: str
    side: str


@dataclass(eq=False)
class _Folder:
    """A folder with its image files, the folders in it, and the paths in it that are not taken."""

    path: Path
    images: list = field(default_factory=list)
    folders: list = field(default_factory=list)
    lost: list = field(default_factory=list)

    @cached_property
    def name(self):
        return printable(self.path.name)

    @cached_property
    def every_image(self):
        return [*self.images, *(image for folder in self.folders for image in folder.every_image)]

    @cached_property
    def every_lost(self):
        return [*self.lost, *(path for folder in self.folders for path in folder.every_lost)]

    @cached_property
    def filled(self):
        """The folders in it with images, or with what may have been meant as such."""
        return [folder for folder in self.folders if folder.every_image or folder.every_lost]

    @cached_property
    def names(self):
        """The names of the folders in it that are filled."""
        return {folder.name for folder in self.filled}

    @cached_property
    def every_name(self):
        """The same at any depth."""
        return self.names.union(*(folder.every_name for folder in self.filled))


def find_images(path, classes=None):
    """Return the ``ImageFile``s below a folder, in one order always, and sentences on all that was left out.

    The classes are the folders in ``path``, in the only folder in it, or in folders for training, validation and
    testing there, under any of their usual names; or each class has such folders. What lies below a class at any
    depth is its own, and links to folders are followed once. ``classes`` are the names of the class folders: they
    say where the classes are and leave out the others; without them a tree that leaves doubt is an error.

    Raises ValueError, showing what was found, also for a class that would lose all its files or that one side lacks;
    OSError for a folder that cannot be opened.
    """
    left_out = defaultdict(list)
    classes = classes and [printable(name) for name in classes]
    root = _walk(Path(path), left_out)
    folder = _inner(root, classes)
    sides = _sides(folder, classes, left_out)
    tops = {side: _inner(top, classes, within=True) for side, top in sides.items()} or {"": folder}
    named = [each for each in folder.filled if not classes or each.name in classes]
    if not sides and len(named) > 1 and all(map(_holds_sides, named)):
        chosen = _classes(folder, classes or folder.names, left_out)
        places = [(_side(below), each.name, below) for each in chosen for below in each.filled]
    else:
        places = [(side, each.name, each) for side, top in tops.items() for each in _classes(top, classes, left_out)]
    for image in [image for each in dict.fromkeys([folder, *tops.values()]) for image in each.images]:
        left_out["loose"].append(printable(os.path.relpath(image, root.path)))
    for _, name, each in places:
        if not each.every_image:
            raise ValueError(
                f"nothing of class {name!r} can be read; in {each.path} there is "
                f"{listed([printable(path.name) for path in each.every_lost], 3)}: convert it to PNG, {_WAY_OUT}"
            )
    _check_classes(places, {"": folder, **tops}, len(left_out["loose"]))
    files = [ImageFile(image, name, side) for side, name, each in places for image in each.every_image]
    return files, list(_sentences(left_out))


def printable(name):
    """Return a file's name as text of one line that can be written anywhere, with escapes for other bytes and signs."""
    text = unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def listed(names, most=_MOST_NAMED):
    """Return names for a sentence; the first few where there are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@cache
def _endings():
    from PIL import Image

    return tuple(ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS)


def _is_hidden(name):
    return name[0] == "." or name.lower() in _HIDDEN


def _identity(path):
    state = os.stat(path)
    return state.st_dev, state.st_ino


def _walk(top, left_out):
    """Return the tree below ``top``; what is not taken goes to ``left_out``, lists of relative names by reason."""
    # A link that leads back, also to a folder above ``top``, has nothing new.
    seen = {_identity(place) for place in top.resolve().parents}
    for place, below, _ in os.walk(top):
        below[:] = [name for name in below if not _is_hidden(name)]
        seen.add(_identity(place))

    def visit(path, linked=False):
        folder = _Folder(path)
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        for entry in entries:
            image = entry.name.lower().endswith(_endings())
            plain = entry.is_file(follow_symlinks=False)  # known without asking the disk once more
            if not plain and not _is_hidden(entry.name) and os.path.isdir(entry.path):
                from_link, identity = linked or entry.is_symlink(), _identity(entry.path)
                if not (from_link and identity in seen):
                    seen.add(identity)
                    folder.folders.append(visit(Path(entry.path), from_link))
                    continue
                reason = "link"
            elif _is_hidden(entry.name):
                reason = "hidden"
            elif not plain and not os.path.exists(entry.path):
                reason = "broken"
            elif not image or not (plain or os.path.isfile(entry.path)):
                reason = "ending"
            else:
                folder.images.append(Path(entry.path))
                continue
            left_out[reason].append(printable(os.path.relpath(entry.path, top)))
            if reason != "hidden" or (image and not entry.name.startswith("._")):  # "._a.jpg" is macOS's, no image
                folder.lost.append(Path(entry.path))
        if path != top and all(_is_hidden(entry.name) for entry in entries):
            left_out["empty"].append(printable(os.path.relpath(path, top)))
        return folder

    return visit(top)


def _inner(folder, classes, within=False):
    """Return the folder or, where it holds nothing but one folder of folders, that one, and so on.

    Not past the ``classes`` that are named and, unless it is ``within`` a side, not past the folder of one.
    """
    while len(folder.filled) == 1 and not folder.images and not (classes and folder.names.issuperset(classes)):
        (only,) = folder.filled
        if not only.filled or not (within or _side(only) is None):
            break
        folder = only
    return folder


def _words_of_side(name):
    """Return the side that a name speaks of, or None, and what else it says: "Seg_TrainData" is "train" and ("seg",)."""
    words = re.findall("[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower())
    words = [found[1] if (found := _SIDE_WITH_FILLER.fullmatch(word)) else word for word in words]
    sides = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
    rest = tuple(word for word in words if word not in _SIDE_WORDS and word not in _FILLERS)
    return (sides.pop(), rest) if len(sides) == 1 else (None, ())


def _side(folder):
    """Return the side that a folder's name is the name of, or None."""
    side, rest = _words_of_side(folder.name)
    return None if rest else side


def _sides(folder, classes, left_out):
    """Return {side: folder} where the folders in this one are the sides of a given border, else {}."""
    if classes and folder.names.issuperset(classes):
        return {}
    groups = defaultdict(list)
    for each in folder.filled:
        side, rest = _words_of_side(each.name)
        if side:
            groups[rest].append((side, each))
    groups = {
        rest: found
        for rest, found in groups.items()
        if len({side for side, _ in found}) > 1 or (not rest and (len(found) > 1 or (found[0][1].filled)))
    }
    if not groups:
        return {}
    if len(groups) > 1:
        raise _doubt(folder, "folders of several classes have the names of sides")
    ((rest, found),) = groups.items()
    sides = dict(found)
    if len(sides) < len(found):
        raise ValueError(
            f"{folder.path} must hold one folder for each side, got {listed([each.name for _, each in found])}"
        )
    others = [each for each in folder.filled if each not in sides.values()]
    if "train" not in sides:
        raise _doubt(folder, "there is a folder to test or validate with and none to train on")
    plain = rest and not all(each.filled for each in sides.values())
    if others and (plain or (len(sides) == 1 and len(others) > 1)):
        raise _doubt(folder, "some folders have the names of sides and others have not")
    if others:
        left_out["beside"] += [sides["train"].name, *(_counted(each) for each in others)]
    return sides


def _holds_sides(folder):
    """Whether a folder holds nothing but folders for training, testing and so on."""
    return bool(folder.filled) and not folder.images and all(map(_side, folder.filled))


def _classes(folder, classes, left_out):
    """Return the folders in this one that are classes, or raise ValueError in doubt."""
    level = folder.filled
    if classes:
        missing = sorted(set(classes) - folder.names)
        if missing:
            raise ValueError(f"{folder.path} has no folder {listed(missing)} of images; it holds {_tree(folder)}")
        left_out["unnamed"] += [_counted(each) for each in level if each.name not in classes]
        return [each for each in level if each.name in classes]
    # A class may be called "valid" beside "invalid".
    both = any("invalid" in name.lower() for name in folder.names)
    if any(_side(each) and not (both and each.name.lower() == "valid") for each in level):
        raise _doubt(folder, "a folder has the name of a side, as training and testing are, and holds no classes")
    if any(map(_holds_sides, level)):
        raise _doubt(folder, "some folders hold folders for training and testing and others do not")
    below = {each: _inner(each, None, within=True).names for each in level}
    holders = [each for each in level if each.every_name & (folder.names - {each.name})]
    level = [each for each in level if each not in holders]
    names = {each.name for each in level}
    if holders and (len(names) < 2 or not all(below[each] >= names for each in holders)):
        raise _doubt(folder, "a folder holds folders of the names of others")
    left_out["repeated"] += [_counted(each) for each in holders]
    if any(len(below[a] & below[b]) > 1 for a, b in combinations(level, 2)):
        raise _doubt(folder, "several folders hold the same folders")
    return level


_WAY_OUT = "move its folder away, or name the folders that are classes (classes=[…], --classes A,B)"


def _doubt(folder, why):
    return ValueError(
        f"which folders of {folder.path} are the classes? {why[0].upper()}{why[1:]}: {_tree(folder)}. "
        "Keep one folder per class, or Training and Testing with such folders in each; or name the folders that are "
        "classes (classes=[…], --classes A,B)"
    )


def _tree(folder):
    """Return what is in a folder, two levels deep."""
    return listed(
        [f"{each.name}/{{{listed(sorted(each.names), 4)}}}" if each.filled else each.name for each in folder.filled], 6
    )


def _counted(folder):
    return f"{folder.name} (images: {len(folder.every_image)})"


def _check_classes(places, tops, loose):
    """Raise ValueError unless there are two classes at least, and the same ones on each side of a given border."""
    classes = {side: [] for side in tops if side}
    for side, name, _ in places:
        classes.setdefault(side, []).append(name)
    for found in classes.values():
        if twice := [name for name, count in Counter(found).items() if count > 1]:
            raise ValueError(f"{tops[''].path} has two folders that are both written {twice[0]}: rename one")
    first = "train" if "train" in tops else ""
    trained = classes.get("train") or classes.get("", [])
    if len(trained) < 2:
        raise ValueError(
            f"{tops[first].path} must hold at least two folders of images, one per class (or Training and Testing with "
            f"such folders in each), got {f'only {trained[0]!r}' if trained else f'none, and {loose} images in no class folder'}"
        )
    for side, found in classes.items():
        if odd := sorted(set(found) ^ set(trained)):
            raise ValueError(
                f"{tops.get('train', tops['']).path} and {tops.get(side, tops['']).path} must hold images of the same "
                f"classes, but only one of them has {listed(odd)}"
            )


def _sentences(left_out):
    """Yield what was left out, with its number."""
    if beside := left_out["beside"]:
        yield f"Left out, being beside {beside[0]}: {listed(beside[1:])}."
    for reason, why in (("unnamed", "not being among the classes that were named"), ("repeated", _REPEATED)):
        if left_out[reason]:
            yield f"Left out, {why}: {listed(left_out[reason])}."
    numbers = {
        "no images of a known kind": Counter(
            os.path.splitext(name)[1].lower() or "without ending" for name in left_out["ending"]
        ),
        "hidden": Counter(os.path.basename(name) for name in left_out["hidden"]),
        "empty folders": Counter(left_out["empty"]),
        "broken links": Counter(left_out["broken"]),
        "links to folders that are read already": Counter(left_out["link"]),
        "images in no class folder": Counter(left_out["loose"]),
    }
    found = [
        f"{what}: {sum(counts.values())} ({listed([f'{n} × {name}' if n > 1 else name for name, n in counts.items()])})"
        for what, counts in numbers.items()
        if counts
    ]
    if found:
        yield f"Left out: {'; '.join(found)}."


_REPEATED = "because they hold the same folders as those beside them"
