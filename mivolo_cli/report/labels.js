"use strict";
/** Where labels stand: as `mivolo scan --annotate` places them (draw.py). All in pixels of a picture as it is shown;
    rects are left, top, right, bottom. */
const labels = (() => {
  const GAP = 3;
  const SMALLEST = 11;

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** In proportion to the picture, smaller where the people are small. */
  function textSize(width, height, people) {
    const side = Math.sqrt(width * height);
    const fitting = people.map(({ box, isFace }) => (isFace ? 0.3 : 0.2) * (box[2] - box[0]));
    const wanted = fitting.length ? median(fitting) : side;
    return Math.max(SMALLEST, Math.round(Math.min(side / 42, Math.max(wanted, side / 80))));
  }

  /** Each label's place by its person's box, off faces and other labels where there is room, and which share of it
      hides some of them. Labels for which `isWanted` is false take no room from others. */
  function place(width, height, people, sizes, isWanted = () => true) {
    const faces = people.filter(({ isFace }) => isFace).map(({ box }) => box);
    const taken = [];
    return people.map(({ box, isFace }, index) => {
      const [wide, high] = sizes[index];
      const rects = spots(box, wide, high, isFace).map((spot) => inside(spot, wide, high, width, height));
      const hidden = rects.map((rect) => 2 * overlap(rect, taken) + overlap(rect, faces));
      const best = hidden.indexOf(Math.min(...hidden)); // of two equal places the earlier one
      const found = { rect: rects[best], hidden: hidden[best] / (wide * high || 1) };
      if (isWanted(found)) taken.push(found.rect);
      return found;
    });
  }

  /** Left and top of a label by a box, the best place first. */
  function spots([left, top, right, bottom], wide, high, isFace) {
    const middle = (left + right - wide) / 2;
    const [above, below] = [top - GAP - high, bottom + GAP];
    const [before, behind] = [left - GAP - wide, right + GAP];
    const step = high + GAP;
    return [
      [middle, above], [left, above], [right - wide, above],
      ...(isFace ? [] : [[middle, top + GAP], [middle, bottom - GAP - high]]),
      [behind, top], [before, top],
      [middle, below], [left, below], [right - wide, below],
      [behind, bottom - high], [before, bottom - high],
      [middle, above - step], [middle, above - 2 * step], [middle, below + step], [middle, below + 2 * step],
    ];
  }

  function inside([left, top], wide, high, width, height) {
    const x = Math.max(0, Math.min(left, width - wide));
    const y = Math.max(0, Math.min(top, height - high));
    return [x, y, x + wide, y + high];
  }

  /** The area of a rect that the others cover, added up. */
  function overlap(rect, others) {
    const along = (other, axis) => Math.min(rect[axis + 2], other[axis + 2]) - Math.max(rect[axis], other[axis]);
    return others.reduce((sum, other) => sum + Math.max(0, along(other, 0)) * Math.max(0, along(other, 1)), 0);
  }

  return { textSize, place };
})();
