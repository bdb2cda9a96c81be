"use strict";
/** Lists of photos and people as files: text of paths, and CSV for spreadsheets. */
const saving = (() => {
  const LIKE_FORMULA = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
  const COLUMNS = ["path", "taken_at", "person", "used", "age", "age_low", "age_high", "gender", "gender_score", "status", "error"];

  /** The whole path where the page knows where the photo is, else the one below the folder that was scanned. */
  function address(photo, data) {
    if (data.urls[photo.r]) return `${data.urls[photo.r]}/${photo.path}`;
    const root = data.roots[photo.r];
    if (!root || location.protocol !== "file:") return photo.path;
    try {
      const folder = decodeURIComponent(new URL(root, location.href).pathname);
      return folder.replace(/^\/([A-Za-z]:)/, "$1") + photo.path;
    } catch {
      return photo.path; // the page's folder has a name that is not UTF-8
    }
  }

  /** A line for each photo; none for a name that would lead out of its folder, or needs several lines. */
  function paths(photos, data) {
    const safe = photos.filter((photo) => photo.r >= 0 && !/[\r\n]/.test(photo.path));
    return { text: safe.map((photo) => `${address(photo, data)}\n`).join(""), lines: safe.length };
  }

  /** A line for each person, and for each photo without people; columns as in the tables of mivolo. */
  function table(rows, data) {
    const lines = rows.map(([photo, person]) => {
      const values = { path: address(photo, data), taken_at: photo.taken, status: photo.status, error: photo.error };
      const judged = person && person.used !== undefined;
      if (person) {
        Object.assign(values, { person: photo.people.indexOf(person), used: person.used, age: person.age, gender: person.gender });
        Object.assign(values, { age_low: person.low, age_high: person.high, gender_score: person.sure });
        values.status = judged ? "ok" : "no_usable_crop";
      }
      return COLUMNS.map((name) => cell(values[name])).join(",");
    });
    return { text: `\ufeff${[COLUMNS.join(","), ...lines].join("\n")}\n`, lines: rows.length };
  }

  function cell(value) {
    if (value === undefined || value === null) return "";
    const isText = typeof value === "string";
    const text = isText && LIKE_FORMULA.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function offer(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  return { paths, table, offer };
})();
