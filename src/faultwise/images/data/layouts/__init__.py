"""Layouts of labelled images other than MVTec's: folders by class, lists, COCO, YOLO, LabelMe."""
