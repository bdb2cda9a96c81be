"use strict";
(() => {
  const PAGE_SIZE = 60;
  const MAX_DOTS = 1500;
  const $ = (id) => document.getElementById(id);
  const read = (id) => JSON.parse($(id).textContent);
  const data = read("data");
  const charts = read("charts");
  const SIGNS = { female: "♀\uFE0E", male: "♂\uFE0E" };
  const collator = new Intl.Collator(undefined, { numeric: true });
  const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

  /** An element with a class, and text that stays text. */
  function make(tag, className = "", text = "") {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== "") element.textContent = text;
    return element;
  }

  // --- what is in the data ----------------------------------------------------------------------------------------

  const isJudged = (person) => person.used !== undefined;

  data.photos.forEach((photo) => {
    const slash = photo.path.lastIndexOf("/");
    photo.folder = slash < 0 ? "" : photo.path.slice(0, slash);
    photo.key = photo.path.toLocaleLowerCase();
    const ages = photo.people.filter((p) => p.age !== undefined).map((p) => p.age);
    const sure = photo.people.filter((p) => p.sure !== undefined).map((p) => p.sure);
    photo.youngest = ages.length ? Math.min(...ages) : Infinity;
    photo.oldest = ages.length ? Math.max(...ages) : -Infinity;
    photo.unsure = sure.length ? Math.min(...sure) : Infinity;
    photo.status = photo.error ? "error" : !photo.people.length ? "no_people" : photo.people.some(isJudged) ? "ok" : "no_usable_crop";
    photo.hasUnjudged = !photo.people.every(isJudged);
  });

  // A body alone may tell a range of ages only.
  const ageOf = (person) =>
    person.age !== undefined ? `${Math.round(person.age)}` : person.low === undefined ? "?" : `${Math.round(person.low)}–${Math.round(person.high)}`;
  const years = (person) => (person.age === undefined ? NaN : Math.round(person.age));

  /** Why an age is less reliable than others; empty where it is not. */
  function doubt(person) {
    if (years(person) < 5) return "under 5";
    if (years(person) > 65) return "over 65";
    return person.used === "body" ? "from the body alone" : "";
  }

  const tone = (person) => (!isJudged(person) || !SIGNS[person.gender] ? "unknown" : person.gender);
  const short = (person) =>
    isJudged(person) ? `${SIGNS[person.gender] ? SIGNS[person.gender] + " " : ""}${doubt(person) ? "~" : ""}${ageOf(person)}` : "?";
  const spoken = (person) =>
    isJudged(person)
      ? `${person.gender || "person"}, about ${ageOf(person)}${doubt(person) ? " (unreliable)" : ""}`
      : "a person who could not be judged";

  function describe(photo) {
    if (photo.error) return `${photo.path}: could not be read, ${photo.error}`;
    return `${photo.path}: ${photo.people.length ? photo.people.map(spoken).join("; ") : "no people"}`;
  }

  // --- filters and sorting ----------------------------------------------------------------------------------------

  const ORDERS = {
    path: (a, b) => collator.compare(a.path, b.path),
    newest: (a, b) => (b.taken || "").localeCompare(a.taken || ""),
    oldest: (a, b) => (a.taken || "9").localeCompare(b.taken || "9"),
    young: (a, b) => a.youngest - b.youngest || 0,
    old: (a, b) => b.oldest - a.oldest || 0,
    many: (a, b) => b.people.length - a.people.length,
    unsure: (a, b) => a.unsure - b.unsure || 0,
  };

  function settings() {
    const limit = (id, fallback) => ($(id).value === "" ? fallback : Number($(id).value));
    return {
      words: $("search").value.toLocaleLowerCase().split(/\s+/).filter(Boolean),
      gender: $("gender").value,
      from: limit("from", -Infinity),
      to: limit("to", Infinity),
      folder: $("folder").value,
      status: $("status").value,
      sure: Number($("sure").value) / 100,
      most: $("direction").value === "most",
    };
  }

  const asksForPeople = (s) => Boolean(s.gender) || s.from > -Infinity || s.to < Infinity || asksForSure(s);
  const asksForSure = (s) => (s.most ? s.sure < 1 : s.sure > 0.5);

  function fits(person, s) {
    if (s.gender && (s.gender === "none" ? person.gender : person.gender !== s.gender)) return false;
    if (s.from > -Infinity || s.to < Infinity) {
      if (person.age === undefined || Math.round(person.age) < s.from || Math.round(person.age) > s.to) return false;
    }
    if (asksForSure(s) && (person.sure === undefined || (s.most ? person.sure > s.sure : person.sure < s.sure))) return false;
    return true;
  }

  function selects(photo, s) {
    if (!s.words.every((word) => photo.key.includes(word))) return false;
    if (s.folder && photo.folder !== s.folder && !photo.folder.startsWith(s.folder + "/")) return false;
    if (s.status === "no_usable_crop" ? !photo.hasUnjudged : s.status && photo.status !== s.status) return false;
    return !asksForPeople(s) || photo.people.some((person) => fits(person, s));
  }

  let shown = [];
  let page = 0;
  let now = settings();

  function update() {
    now = settings();
    shown = data.photos.filter((photo) => selects(photo, now));
    const order = ORDERS[$("sort").value];
    shown.sort((a, b) => order(a, b) || collator.compare(a.path, b.path));
    page = 0;
    const [people, unjudged] = selected();
    showCount(people.length, unjudged.length);
    showFigures(people, unjudged);
    showCharts(people);
    $("saved").textContent = "";
    showPage();
  }

  /** The people who fit, each with the photo: those who were judged, and the rest. */
  function selected() {
    const found = shown.flatMap((photo) => photo.people.filter((person) => fits(person, now)).map((person) => [photo, person]));
    return [found.filter(([, person]) => isJudged(person)), found.filter(([, person]) => !isJudged(person))];
  }

  const plural = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;

  function showCount(people, unjudged) {
    const all = data.photos.length;
    const photos = shown.length === all ? plural(all, "photo", "photos") : `${number.format(shown.length)} of ${plural(all, "photo", "photos")}`;
    const rest = unjudged ? `, ${number.format(unjudged)} not judged` : "";
    $("count").textContent = `${photos}, ${plural(people, "person", "people")}${rest}`;
    for (const id of ["save-paths", "save-table"]) $(id).disabled = !shown.length;
    $("sure-value").textContent = asksForSure(now) ? `${$("sure").value} %` : "any";
    $("reset").hidden = shown.length === all && !asksForPeople(now) && !now.words.length;
  }

  // --- figures ----------------------------------------------------------------------------------------------------

  function median(values) {
    const sorted = Float64Array.from(values).sort();
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  function showFigures(people, unjudged) {
    const ages = people.map(([, person]) => person.age).filter((age) => age !== undefined);
    const count = (gender) => people.filter(([, person]) => person.gender === gender).length;
    const [female, male] = [count("female"), count("male")];
    const share = (part) => (female + male ? `${Math.round((100 * part) / (female + male))} %` : "–");
    const taken = shown.map((photo) => photo.taken && photo.taken.slice(0, 4)).filter(Boolean).sort();
    const years = !taken.length ? "–" : taken[0] === taken.at(-1) ? taken[0] : `${taken[0]}–${taken.at(-1).slice(2)}`;
    const facts = [
      ["photos", number.format(shown.length)],
      ["people", number.format(people.length)],
      ["median age", ages.length ? String(Math.round(median(ages))) : "–"],
      ["female", share(female)],
      ["male", share(male)],
      ...(data.photos.some((photo) => photo.taken) ? [["years", years]] : []),
    ];
    const apart = [
      ["not judged", number.format(unjudged.length)],
      ["without people", number.format(shown.filter((photo) => photo.status === "no_people").length)],
      ["unreadable", number.format(shown.filter((photo) => photo.error).length)],
    ];
    fill("figures", facts);
    fill("apart", apart);
  }

  function fill(id, facts) {
    $(id).replaceChildren(
      ...facts.map(([title, value]) => {
        const group = make("div");
        group.append(make("dt", "", title), make("dd", "", value));
        return group;
      }),
    );
  }

  // --- charts -----------------------------------------------------------------------------------------------------

  const views = {};

  function colour(name) {
    const probe = make("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function look() {
    const [ink, quiet, line] = ["ink", "quiet", "line"].map(colour);
    return {
      background: "transparent",
      font: getComputedStyle(document.body).fontFamily,
      view: { stroke: null },
      axis: { labelColor: quiet, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
      text: { color: ink, fontSize: 12 },
      rect: { color: ink },
      rule: { color: ink },
      range: { category: [] },
    };
  }

  function dressed(name) {
    const spec = structuredClone(charts[name]);
    const scale = { domain: ["female", "male", "unknown"], range: ["female", "male", "unknown"].map(colour) };
    for (const layer of [spec, ...(spec.layer || [])]) {
      if (layer.encoding?.color) layer.encoding.color.scale = scale;
    }
    for (const param of spec.params || []) param.value = colour(param.name);
    return spec;
  }

  function valuesFor(name, people) {
    if (name === "failures") return shown.filter((photo) => photo.error).map((photo) => ({ reason: photo.error.replaceAll("_", " ") }));
    const values = people
      .filter(([photo, person]) => person.age !== undefined && (name !== "years" || photo.taken))
      .map(([photo, person]) => ({ age: Math.round(person.age), gender: person.gender || "unknown", taken: photo.taken, doubt: doubt(person) || "none" }));
    const step = Math.max(1, values.length / MAX_DOTS); // more dots are slower, and show nothing more
    for (let index = 0; index < values.length; index += step) values[Math.floor(index)].dot = true;
    return values;
  }

  let wanted = 0;
  let drawing = Promise.resolve();

  /** One drawing after the other; those that a newer one has overtaken are left out. */
  function showCharts(people) {
    const turn = ++wanted;
    for (const name of Object.keys(charts)) $(`${name}-figure`).hidden = isEmpty(name, people); // all before the first: widths
    drawing = drawing.then(async () => {
      for (const name of Object.keys(charts)) if (turn === wanted) await showChart(name, people);
    });
  }

  const isEmpty = (name, people) =>
    !valuesFor(name, people).length && (name === "failures" || !valuesFor(name, everybody()).length);

  async function showChart(name, people) {
    if (isEmpty(name, people)) return;
    const values = valuesFor(name, people);
    if (views[name]) await views[name].view.data(charts[name].data.name, values).runAsync();
    else views[name] = await embed(name, values);
  }

  const everybody = () => data.photos.flatMap((photo) => photo.people.map((person) => [photo, person]));

  async function embed(name, values) {
    const spec = dressed(name);
    spec.data.values = values;
    if (name === "failures") spec.height = 26 * new Set(data.photos.map((photo) => photo.error).filter(Boolean)).size;
    const done = await window.vegaEmbed($(name), spec, {
      actions: false,
      ast: true, // expressions are interpreted: the page's policy allows no eval
      config: look(),
      defaultStyle: false,
      logLevel: 1, // errors: that no person is left by the filters is none
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
    });
    if (name === "pyramid") done.view.addEventListener("click", (_, item) => item?.datum && chooseBar(item.datum));
    return done;
  }

  function chooseBar(bar) {
    if (bar.band === undefined) return;
    $("from").value = bar.band;
    $("to").value = bar.band === 100 ? "" : bar.band + 4;
    $("gender").value = bar.gender === "unknown" ? "none" : bar.gender;
    $("more").open = true;
    update();
  }

  function redrawCharts() {
    for (const name of Object.keys(views)) {
      views[name].finalize();
      delete views[name];
    }
    update();
  }

  // --- gallery ----------------------------------------------------------------------------------------------------

  function source(photo) {
    if (photo.p === undefined) return null;
    if (data.pictures === "inside") {
      const coded = $(`picture-${photo.p}`);
      return coded ? `data:image/webp;base64,${coded.textContent}` : null;
    }
    return data.pictures === "beside" ? `./${data.folder}/${photo.p}.webp` : null;
  }

  const place = (element, left, top, width, height) => {
    element.style.left = `${left}%`;
    element.style.top = `${top}%`;
    if (width !== undefined) element.style.width = `${width}%`;
    if (height !== undefined) element.style.height = `${height}%`;
    return element;
  };

  /** The photo with its boxes, in a frame that is not quite as narrow or as wide as some photos are. */
  function framed(photo) {
    const frame = make("div", "frame");
    frame.append(picture(photo));
    return frame;
  }

  function picture(photo, large = false) {
    const frame = make("div", "photo");
    frame.style.setProperty("--own", shape(photo));
    if (photo.error) {
      const note = make("div", "none");
      note.append(make("b", "", "unreadable"), make("span", "", photo.error.replaceAll("_", " ")));
      frame.append(note);
      return frame;
    }
    const address = source(photo);
    if (address) {
      const image = make("img");
      image.alt = "";
      image.loading = "lazy";
      image.decoding = "async";
      image.addEventListener("error", () => image.remove());
      image.src = address;
      frame.append(image);
    } else if (!photo.people.length) {
      frame.append(make("div", "none", "no people"));
    }
    const tags = photo.people.map((person) => overlay(frame, person, large)).filter(Boolean);
    overlays.set(frame, { tags, large });
    observer.observe(frame);
    return frame;
  }

  const shape = (photo) => (photo.error ? 1.2 : photo.w / photo.h || 1);
  const ratio = (photo) => Math.min(2.6, Math.max(0.62, shape(photo)));

  const overlays = new WeakMap();
  const observer = new ResizeObserver((entries) => arrange(entries.map((entry) => entry.target)));
  const CROWDED = 0.35; // of a label may hide others before it is left out of a tile; the viewer shows all

  /** The boxes of a person, and a label that gets its place as soon as the picture's size is known. */
  function overlay(frame, person, large) {
    const anchor = person.face || person.body;
    if (!anchor) return null;
    const other = asksForPeople(now) && !fits(person, now) ? " other" : "";
    const unsure = isJudged(person) && doubt(person) ? " unsure" : "";
    for (const kind of ["body", "face"]) {
      if (person[kind] && (kind === "face" || large || !person.face)) {
        frame.append(place(make("div", `box ${kind} ${tone(person)}${other}`), ...person[kind]));
      }
    }
    const tag = make("div", `tag ${tone(person)}${other}${unsure}`, short(person));
    frame.append(tag);
    return { tag, anchor, isFace: Boolean(person.face) };
  }

  /** Put the labels of pictures into their places: first all that is written, then all that is read. */
  function arrange(frames) {
    const found = frames.map((frame) => {
      const [width, height] = [frame.clientWidth, frame.clientHeight];
      const { tags, large } = overlays.get(frame);
      const people = tags.map(({ tag, anchor, isFace }) => ({ tag, isFace, box: pixels(anchor, width, height) }));
      frame.style.setProperty("--text", `${labels.textSize(width, height, people)}px`);
      return { people, large, width, height };
    });
    for (const one of found) one.sizes = one.people.map(({ tag }) => [tag.offsetWidth, tag.offsetHeight]);
    for (const { people, large, width, height, sizes } of found) {
      const isWanted = ({ hidden }) => large || hidden <= CROWDED;
      labels.place(width, height, people, sizes, isWanted).forEach((spot, index) => {
        const { tag } = people[index];
        place(tag, (100 * spot.rect[0]) / width, (100 * spot.rect[1]) / height);
        tag.classList.toggle("crowded", !isWanted(spot));
      });
    }
  }

  /** A box in percent as a rect in pixels, inside of the picture. */
  function pixels([left, top, width, height], wide, high) {
    const within = (value, most) => Math.max(0, Math.min(value, most));
    return [
      within((left * wide) / 100, wide), within((top * high) / 100, high),
      within(((left + width) * wide) / 100, wide), within(((top + height) * high) / 100, high),
    ];
  }

  function tile(photo, index) {
    const item = make("li");
    item.style.setProperty("--ratio", ratio(photo));
    const button = make("button", "tile");
    button.type = "button";
    button.tabIndex = index ? -1 : 0;
    button.dataset.index = String(index);
    button.setAttribute("aria-label", describe(photo));
    button.title = photo.path;
    button.append(framed(photo), make("span", "name", photo.path.slice(photo.folder.length).replace("/", "")));
    item.append(button);
    return item;
  }

  function showPage(focus = false) {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE_SIZE));
    const start = page * PAGE_SIZE;
    observer.disconnect();
    $("gallery").replaceChildren(...shown.slice(start, start + PAGE_SIZE).map(tile));
    $("nothing").hidden = shown.length > 0;
    $("pager").hidden = pages === 1;
    $("page").textContent = `${page + 1} of ${pages}`;
    $("previous").disabled = page === 0;
    $("next").disabled = page === pages - 1;
    if (focus) {
      $("gallery-title").scrollIntoView();
      $("gallery").querySelector("button")?.focus({ preventScroll: true });
    }
  }

  function turn(step) {
    page += step;
    showPage(true);
  }

  /** The tile above or below: the one of the next row whose middle is nearest. */
  function neighbour(tiles, from, down) {
    const here = from.getBoundingClientRect();
    const middle = here.left + here.width / 2;
    const rows = tiles
      .map((element) => ({ element, box: element.getBoundingClientRect() }))
      .filter(({ box }) => (down ? box.top > here.bottom - 1 : box.bottom < here.top + 1));
    const edge = down ? Math.min(...rows.map(({ box }) => box.top)) : Math.max(...rows.map(({ box }) => box.top));
    const far = ({ box }) => Math.abs(box.left + box.width / 2 - middle);
    return rows.filter(({ box }) => Math.abs(box.top - edge) < 2).sort((a, b) => far(a) - far(b))[0]?.element;
  }

  function moveInGallery(event) {
    const tiles = [...$("gallery").querySelectorAll("button")];
    const at = tiles.indexOf(document.activeElement);
    if (at < 0) return;
    const goals = {
      ArrowRight: () => tiles[at + 1],
      ArrowLeft: () => tiles[at - 1],
      ArrowDown: () => neighbour(tiles, tiles[at], true),
      ArrowUp: () => neighbour(tiles, tiles[at], false),
      Home: () => tiles[0],
      End: () => tiles.at(-1),
    };
    if (!goals[event.key]) return;
    event.preventDefault();
    const goal = goals[event.key]();
    if (!goal) return;
    tiles[at].tabIndex = -1;
    goal.tabIndex = 0;
    goal.focus();
  }

  // --- one photo --------------------------------------------------------------------------------------------------

  let open = 0;

  function view(index) {
    open = index;
    const photo = shown[index];
    $("viewer-title").textContent = photo.path;
    $("stage").replaceChildren(picture(photo, true));
    $("details").replaceChildren(...details(photo));
    $("before").disabled = index === 0;
    $("after").disabled = index === shown.length - 1;
    if (!$("viewer").open) $("viewer").showModal();
  }

  function details(photo) {
    const list = make("ul");
    for (const person of photo.people) {
      const item = make("li", `${tone(person)}${isJudged(person) && doubt(person) ? " unsure" : ""}`);
      item.append(make("b", "", isJudged(person) ? `${doubt(person) ? "~" : ""}${ageOf(person)} ${person.gender || ""}` : "not judged"), make("br"));
      item.append(make("span", "quiet", reasons(person)));
      list.append(item);
    }
    const facts = make("dl");
    const fact = (title, value) => value && facts.append(make("dt", "", title), make("dd", "", value));
    fact("Taken", photo.taken && photo.taken.replace("T", " "));
    fact("Size", photo.w && `${photo.w} × ${photo.h}`);
    fact("Folder", photo.folder);
    fact("Problem", photo.error && `${photo.error}: ${photo.message}`);
    const parts = photo.people.length ? [list, facts] : [make("p", "empty", photo.error ? "This photo could not be read." : "No people were found."), facts];
    const root = data.roots[photo.r];
    if (root && !photo.archived && !photo.error) {
      const link = make("a", "", "Open the original photo");
      link.href = root + photo.path.split("/").map(encodeURIComponent).join("/");
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      parts.push(link);
    }
    return parts;
  }

  function reasons(person) {
    if (!isJudged(person)) return "too small, hidden or doubtful";
    const said = [];
    if (person.low !== undefined) said.push(`between ${Math.round(person.low)} and ${Math.round(person.high)}`);
    if (person.sure !== undefined) said.push(`gender ${Math.min(99, Math.round(100 * person.sure))} % sure`);
    said.push(`seen from ${person.used === "face+body" ? "face and body" : person.used}`);
    if (doubt(person)) said.push(`age unreliable: ${doubt(person)}`);
    if (years(person) < 10) said.push("gender of children is unreliable");
    return said.join(" · ");
  }

  // --- start ------------------------------------------------------------------------------------------------------

  function fillFolders() {
    const folders = new Set();
    for (const photo of data.photos) {
      const parts = photo.folder.split("/").filter(Boolean);
      parts.forEach((_, depth) => folders.add(parts.slice(0, depth + 1).join("/")));
    }
    for (const folder of [...folders].sort(collator.compare)) {
      const option = make("option", "", folder);
      option.value = folder;
      $("folder").append(option);
    }
  }

  function later(action, wait) {
    let timer;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(action, wait);
    };
  }

  function save(name, type, { text, lines }, things, rest = 0) {
    saving.offer(name, type, text);
    const left = rest ? `; ${number.format(rest)} left out, whose names lead elsewhere or have a line break` : "";
    $("saved").textContent = `${plural(lines, ...things)} saved as ${name}${left}`;
  }

  function savePaths() {
    const list = saving.paths(shown, data);
    save("photos.txt", "text/plain", list, ["path", "paths"], shown.length - list.lines);
  }

  function saveTable() {
    const fitting = (photo) => photo.people.filter((person) => fits(person, now));
    const rows = shown.flatMap((photo) => (photo.people.length ? fitting(photo).map((person) => [photo, person]) : [[photo, null]]));
    save("people.csv", "text/csv", saving.table(rows, data), ["line", "lines"]);
  }

  const soon = later(update, 120);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  $("made").textContent = `Made by mivolo ${data.version}, ${data.made}`;
  $("source").textContent = [data.model && `Model ${data.model}`, data.detector && `detector ${data.detector}`].filter(Boolean).join(", ");
  $("more").open = matchMedia("(min-width: 701px)").matches;
  fillFolders();
  $("filters").addEventListener("input", soon);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(update));
  $("direction").addEventListener("change", () => {
    if (!asksForSure(settings())) $("sure").value = $("direction").value === "most" ? 80 : 50;
  });
  $("save-paths").addEventListener("click", savePaths);
  $("save-table").addEventListener("click", saveTable);
  $("boxes").addEventListener("change", () => document.body.classList.toggle("no-boxes", !$("boxes").checked));
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("gallery").addEventListener("keydown", moveInGallery);
  $("gallery").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) view(page * PAGE_SIZE + Number(button.dataset.index));
  });
  $("close").addEventListener("click", () => $("viewer").close());
  $("before").addEventListener("click", () => view(open - 1));
  $("after").addEventListener("click", () => view(open + 1));
  $("viewer").addEventListener("click", (event) => event.target === $("viewer") && $("viewer").close());
  $("viewer").addEventListener("keydown", (event) => {
    const goal = open + { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (shown[goal]) view(goal);
  });
  $("viewer").addEventListener("close", () => {
    page = Math.floor(open / PAGE_SIZE);
    showPage();
    const tiles = $("gallery").querySelectorAll("button");
    tiles[0].tabIndex = -1;
    const tile = tiles[open % PAGE_SIZE];
    tile.tabIndex = 0;
    tile.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || $("viewer").open || /INPUT|SELECT/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    $("search").focus();
  });
  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    redrawCharts();
  });
  dark.addEventListener("change", redrawCharts);
  update();
})();
