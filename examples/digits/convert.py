"""Makes digits.png: the handwritten digits that scikit-learn carries, as one sheet.

    pip install scikit-learn pillow
    python examples/digits/convert.py

The digits are the test part of the "Optical Recognition of Handwritten Digits" data set of
E. Alpaydin and C. Kaynak (UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY
4.0): 1797 images of 8 x 8 pixels with 17 levels of grey. Each row of the sheet is a digit, from 0
to 9; its images are side by side in the data set's order, and the rest of the row is black. A level
is 15 grey values.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 8
digits = load_digits()
most = max(np.bincount(digits.target))
sheet = np.zeros((10 * SIDE, most * SIDE), np.uint8)
for digit in range(10):
    for at, picture in enumerate(digits.images[digits.target == digit]):
        sheet[digit * SIDE : (digit + 1) * SIDE, at * SIDE : (at + 1) * SIDE] = picture * 15
Image.fromarray(sheet).save(Path(__file__).with_name("digits.png"), optimize=True)
print(f"{len(digits.images)} digits, at most {most} of one kind")
