"use strict";
// The page of one report or several. Names of a model are data: they enter the page as text, never as markup.

const STATES = ["differs", "decays", "spared", "frozen"];
const DIFFERENCES = /^DA[1267]/; // decision against optimizer, membership, resume, lock
const ROWS_SHOWN_OPEN = 150; // a filter that leaves no more rows than this shows them unfolded

// As a terminal would act on them, so may a browser's text: control characters and directional marks are shown escaped.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const visibleText = (text) => String(text).replace(HIDDEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

const byId = (id) => document.getElementById(id);
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const shapeText = (shape) => shape.join("x") || "scalar";
const coefficient = (value) => (value === null ? "not finite" : value === 0 ? "-" : String(value));

function amount(value) {
  for (const [unit, size] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(unit === "k" ? 1 : 2)} ${unit}`;
  }
  return String(value);
}

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "style") made[name] = value;
    else made.setAttribute(name, value);
  }
  const given = children.filter((child) => child !== null && child !== undefined && child !== "");
  made.append(...given.map((child) => (child instanceof Node ? child : visibleText(child))));
  return made;
}

async function readData(id) {
  const script = byId(id);
  if (script.type === "application/json") return JSON.parse(script.textContent);
  const bytes = Uint8Array.from(atob(script.textContent.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// ---- What each parameter's state is -------------------------------------------------------------------------------

function decaysByPreset(preset, count) {
  const bits = preset.decays;
  return Array.from({ length: count }, (_, index) => ((parseInt(bits[index >> 2], 16) >> (3 - (index & 3))) & 1) === 1);
}

function observedDecay(parameter) {
  const known = parameter.observed.filter((entry) => entry.weight_decay !== null);
  return known.length ? known.some((entry) => entry.weight_decay !== 0) : null;
}

class Model {
  constructor(report, extras) {
    this.report = report;
    this.extras = extras;
    this.parameters = report.parameters;
    this.index = new Map(this.parameters.map((parameter, index) => [parameter.name, index]));
    this.findings = this.parameters.map(() => []);
    report.findings.forEach((finding, position) => {
      for (const name of finding.parameters) {
        const index = this.index.get(name);
        if (index !== undefined) this.findings[index].push(position);
      }
    });
    this.choosePreset("");
  }

  choosePreset(name) {
    const preset = this.extras.presets.find((candidate) => candidate.name === name);
    this.preset = preset ? name : "";
    const decided = preset ? decaysByPreset(preset, this.parameters.length) : null;
    this.states = this.parameters.map((parameter, index) => {
      if (parameter.rule === "frozen") return "frozen";
      const decays = decided ? decided[index] : parameter.decay;
      return (decided ? this.differsFromPreset(parameter, decays) : this.hasFailure(index)) ? "differs" : decays ? "decays" : "spared";
    });
    this.decided = decided;
  }

  differsFromPreset(parameter, decays) {
    const observed = observedDecay(parameter);
    return (observed === null ? parameter.decay : observed) !== decays;
  }

  // The same as `_differing` of context.py.
  hasFailure(index) {
    return this.findings[index].some((position) => {
      const finding = this.report.findings[position];
      return finding.severity !== "note" && finding.exception === null && DIFFERENCES.test(finding.code);
    });
  }
}

// ---- Which parameters are shown -----------------------------------------------------------------------------------

function searchTest(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (parameter) => {
    const hay = `${parameter.name} ${parameter.role.replaceAll("_", " ")} ${parameter.layer} ${parameter.rule} ${shapeText(parameter.shape)}`.toLowerCase();
    return words.every((word) => hay.includes(word));
  };
}

const groupLabel = (entry) => `${entry.optimizer} [${entry.group}]`;

function visible(model, view) {
  const matches = searchTest(view.q);
  return model.parameters.flatMap((parameter, index) => {
    if (view.diff && model.states[index] !== "differs") return [];
    if (view.role && parameter.role !== view.role) return [];
    if (view.layer && parameter.layer !== view.layer) return [];
    if (view.rule && parameter.rule !== view.rule) return [];
    if (view.group && !parameter.observed.some((entry) => groupLabel(entry) === view.group)) return [];
    if (view.code && !model.findings[index].some((position) => model.report.findings[position].code === view.code)) return [];
    if (view.finding && !model.findings[index].includes(Number(view.finding))) return [];
    return !view.q || matches(parameter) ? [index] : [];
  });
}

// ---- Modules as a tree, equal blocks folded -----------------------------------------------------------------------

function buildTree(model, indices) {
  const root = { name: "", children: new Map(), members: [] };
  for (const index of indices) {
    let node = root;
    for (const part of model.parameters[index].name.split(".")) {
      let child = node.children.get(part);
      if (!child) node.children.set(part, (child = { name: part, children: new Map(), members: [] }));
      node = child;
    }
    node.members.push(index);
  }
  return foldTree(root, signer(model));
}

function signer(model) {
  const known = new Map();
  const intern = (text) => known.get(text) ?? (known.set(text, known.size), known.size - 1);
  return (node) => {
    const own = node.members.slice(0, 1).map((index) => {
      const parameter = model.parameters[index];
      const observed = parameter.observed.map((entry) => `${entry.optimizer}/${entry.group}`);
      return [parameter.shape, parameter.role, parameter.layer, parameter.rule, model.states[index], parameter.weight_decay, parameter.lr_scale, observed].join("|");
    });
    return intern(JSON.stringify([own, node.children.map((child) => [child.name, child.signature])]));
  };
}

function foldTree(node, sign) {
  const children = [...node.children.values()].map((child) => foldTree(child, sign));
  const folded = joinSingleChild({ name: node.name, members: node.members, count: 1, children: foldNumbered(children) });
  folded.signature = sign(folded);
  return folded;
}

// A module that holds nothing but one module shares its row: `patch_embed.proj`.
function joinSingleChild(node) {
  const [only] = node.children;
  if (node.name === "" || node.members.length || node.children.length !== 1) return node;
  return { ...only, name: `${node.name}.${only.name}` };
}

const NUMBERED = /^([^\d{}]*)(\d+)([^{}]*)$/;

function foldNumbered(children) {
  const alike = new Map();
  for (const child of children) {
    const number = NUMBERED.exec(child.name);
    const key = number && `${number[1]}#${number[3]}#${child.signature}`;
    if (key && alike.has(key)) alike.get(key).push(child);
    else alike.set(key ?? Symbol("named"), [child]);
  }
  return [...alike.values()].map((nodes) => (nodes.length > 1 ? merge(nodes) : nodes[0]));
}

function merge(nodes) {
  const [, prefix, , suffix] = NUMBERED.exec(nodes[0].name);
  const numbers = nodes.map((node) => Number(NUMBERED.exec(node.name)[2])).sort((a, b) => a - b);
  return {
    name: `${prefix}{${spellNumbers(numbers)}}${suffix}`,
    count: nodes.reduce((sum, node) => sum + node.count, 0),
    members: nodes.flatMap((node) => node.members),
    children: nodes[0].children.map((child, position) => mergeAlike(nodes.map((node) => node.children[position]))),
    signature: nodes[0].signature,
  };
}

function mergeAlike(nodes) {
  return {
    ...nodes[0],
    members: nodes.flatMap((node) => node.members),
    children: nodes[0].children.map((child, position) => mergeAlike(nodes.map((node) => node.children[position]))),
  };
}

// Numbers as the tables spell them: runs of three or more (0-2), series of four or more (3,7..399/4), and one range
// with exceptions where that is shorter (0-398 except 3,7). `numbers` rise.
function spellNumbers(numbers) {
  const spelled = pieces(numbers).join(",");
  const [low, high] = [numbers[0], numbers.at(-1)];
  if (numbers.length < Math.floor((high - low) / 2)) return spelled;
  const present = new Set(numbers);
  const missing = Array.from({ length: high - low + 1 }, (_, index) => low + index).filter((number) => !present.has(number));
  const without = `${low}-${high} except ${pieces(missing).join(",")}`;
  return missing.length && without.length < spelled.length ? without : spelled;
}

function pieces(numbers) {
  const texts = [];
  for (let start = 0; start < numbers.length; ) {
    const step = numbers[start + 1] - numbers[start];
    let end = start + 1;
    while (end < numbers.length && numbers[end] - numbers[end - 1] === step) end += 1;
    const [first, second, last] = [numbers[start], numbers[start + 1], numbers[end - 1]];
    const isSeries = end - start >= (step === 1 ? 3 : 4);
    if (!isSeries) texts.push(`${first}`);
    else texts.push(step === 1 ? `${first}-${last}` : `${first},${second}..${last}/${step}`);
    start = isSeries ? end : start + 1;
  }
  return texts;
}

function measure(node, model, path = "") {
  node.path = path ? `${path}.${node.name}` : node.name;
  const own = Object.fromEntries(STATES.map((state) => [state, 0]));
  Object.assign(node, { parameters: node.members.length, elements: 0, logarithm: 0, states: own });
  for (const index of node.members) {
    const { numel } = model.parameters[index];
    node.elements += numel;
    node.logarithm += Math.log2(1 + numel);
    own[model.states[index]] += 1;
  }
  for (const child of node.children) {
    measure(child, model, node.path);
    for (const field of ["parameters", "elements", "logarithm"]) node[field] += child[field];
    for (const state of STATES) own[state] += child.states[state];
  }
  return node;
}

const mainState = (node) => STATES.find((state) => node.states[state]) ?? "spared";

// ---- The map ------------------------------------------------------------------------------------------------------

function findNode(node, path) {
  if (!path || node.path === path) return node;
  for (const child of node.children) {
    if (path === child.path || path.startsWith(`${child.path}.`)) return findNode(child, path);
  }
  return node;
}

function drawMap(page) {
  const map = byId("map");
  const node = findNode(page.tree, page.view.zoom);
  drawCrumbs(page, node);
  const field = { elements: "elements", parameters: "parameters", log: "logarithm" }[page.view.size];
  const deepest = 3;
  const root = d3.hierarchy(node, (child) => (child.children.length ? child.children : null));
  root.eachAfter((item) => { item.value = Math.max(item.data[field], 1e-9); });
  const width = map.clientWidth;
  const height = map.clientHeight;
  d3.treemap().tile(d3.treemapSquarify).size([width, height]).paddingTop((item) => (item.depth && item.depth < deepest ? 18 : 1)).paddingInner(1)(root);
  const cells = [];
  root.eachBefore((item) => {
    if (!item.depth || item.depth > deepest || item.x1 - item.x0 < 2 || item.y1 - item.y0 < 2 || cells.length > 3000) return;
    cells.push(mapCell(page, item, item.depth === deepest || !item.data.children.length));
  });
  if (!node.children.length) cells.push(element("p", { className: "quiet", style: "padding:1rem" }, page.shown.length ? `${node.path}: no modules inside` : "no parameter matches these filters"));
  map.replaceChildren(...cells);
}

function mapCell(page, item, filled) {
  const node = item.data;
  const leaf = !node.children.length;
  const wide = item.x1 - item.x0 > 34 && item.y1 - item.y0 > 14;
  const state = mainState(node);
  const cell = element("div", {
    tabIndex: 0,
    role: "button",
    className: `cell ${filled ? (uniform(node) ? state : "mixed") : "module"}`,
    style: `left:${item.x0}px;top:${item.y0}px;width:${item.x1 - item.x0}px;height:${item.y1 - item.y0}px;${filled && !uniform(node) ? `background:${shares(node)}` : ""}`,
    "aria-label": `${node.path}: ${summary(node)}`,
  }, wide ? node.name : "");
  const go = () => (leaf ? page.open(node.members[0], node) : page.change({ zoom: node.path }));
  cell.addEventListener("click", go);
  cell.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); } });
  cell.addEventListener("mousemove", (event) => showTip(page, event, node));
  cell.addEventListener("mouseleave", hideTip);
  return cell;
}

const uniform = (node) => STATES.filter((state) => node.states[state]).length === 1;

function shares(node) {
  let at = 0;
  const stops = STATES.filter((state) => node.states[state]).map((state) => {
    const from = at;
    at += (100 * node.states[state]) / node.parameters;
    return `var(--${state}) ${from}% ${at}%`;
  });
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

function summary(node) {
  const states = STATES.filter((state) => node.states[state]).map((state) => `${node.states[state].toLocaleString("en")} ${state}`);
  return `${plural(node.parameters, "parameter")}, ${amount(node.elements)} elements: ${states.join(", ")}`;
}

function drawCrumbs(page, node) {
  const parts = [element("button", { type: "button", onclick: () => page.change({ zoom: "" }) }, "model")];
  let at = page.tree;
  while (at !== node) {
    at = at.children.find((child) => node.path === child.path || node.path.startsWith(`${child.path}.`));
    if (!at) break;
    const { path, name } = at;
    parts.push("›", element("button", { type: "button", onclick: () => page.change({ zoom: path }) }, name));
  }
  byId("crumbs").replaceChildren(...parts, element("span", { className: "quiet" }, summary(node)));
}

function showTip(page, event, node) {
  const tip = byId("tip");
  const index = node.members[0];
  const lines = [element("b", {}, node.path), element("div", {}, summary(node))];
  if (!node.children.length && index !== undefined) lines.push(...story(page.model, index).map((line) => element("div", {}, line)));
  tip.replaceChildren(...lines);
  tip.hidden = false;
  tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
}

const hideTip = () => { byId("tip").hidden = true; };

function story(model, index) {
  const parameter = model.parameters[index];
  const decided = parameter.decay ? `decays with ${parameter.weight_decay}` : "is spared";
  return [
    `${parameter.role.replaceAll("_", " ")} (${parameter.confidence}), ${shapeText(parameter.shape)}`,
    `${decided} by rule ${parameter.rule}`,
    ...parameter.observed.map((entry) => `${groupLabel(entry)}: weight_decay ${coefficient(entry.weight_decay)}`),
  ];
}

// ---- The tree table -----------------------------------------------------------------------------------------------

function tableRows(page, node) {
  return node.children.map((child) => {
    const only = child.members[0];
    const leaf = only !== undefined && !child.children.length;
    const parameter = leaf ? page.model.parameters[only] : null;
    return {
      id: child.path,
      node: child,
      name: child.name,
      parameters: child.parameters,
      elements: child.elements,
      shape: parameter ? shapeText(parameter.shape) : "",
      role: parameter ? parameter.role.replaceAll("_", " ") + { certain: "", likely: " ~", guess: " ?" }[parameter.confidence] : "",
      decay: parameter ? coefficient(page.model.decided ? (page.model.decided[only] ? parameter.weight_decay || page.model.report.ruleset.weight_decay : 0) : parameter.weight_decay) : "",
      observed: parameter ? [...new Set(parameter.observed.map((entry) => coefficient(entry.weight_decay)))].join(", ") : "",
      rule: parameter && !page.model.preset ? parameter.rule : "",
      _children: child.children.length ? tableRows(page, child) : undefined,
    };
  });
}

function miniBar(node) {
  const bar = element("span", { className: "mini", role: "img", "aria-label": summary(node), title: summary(node) });
  for (const state of STATES) {
    if (node.states[state]) bar.append(element("span", { className: state, style: `flex:${node.states[state]}` }));
  }
  return bar;
}

function makeTable(page) {
  const text = (cell) => document.createTextNode(visibleText(cell.getValue()));
  const numbers = { hozAlign: "right", headerHozAlign: "right" };
  const optimized = page.model.report.optimizers.length > 0;
  const table = new Tabulator("#table", {
    data: tableRows(page, page.tree),
    height: "100%",
    layout: "fitDataFill",
    dataTree: true,
    dataTreeStartExpanded: (row, level) => level < page.levelsOpen,
    dataTreeChildIndent: 14,
    placeholder: element("span", { className: "quiet" }, "no parameter matches these filters"),
    columns: [
      { title: "parameter", field: "name", formatter: text, frozen: window.innerWidth > 700, minWidth: 180, cssClass: "mono" },
      { title: "share", field: "share", headerSort: false, formatter: (cell) => miniBar(cell.getData().node), width: 104 },
      { title: "decay", field: "decay", formatter: text, ...numbers },
      { title: "optimizer", field: "observed", formatter: text, visible: optimized, ...numbers },
      { title: "role", field: "role", formatter: text },
      { title: "shape", field: "shape", formatter: text },
      { title: "parameters", field: "parameters", formatter: (cell) => document.createTextNode(cell.getValue().toLocaleString("en")), ...numbers },
      { title: "elements", field: "elements", formatter: (cell) => document.createTextNode(amount(cell.getValue())), ...numbers },
      { title: "rule", field: "rule", formatter: text },
    ],
    rowFormatter: (row) => {
      const line = row.getElement();
      line.tabIndex = 0;
      line.classList.toggle("differs-row", row.getData().node.states.differs > 0);
    },
  });
  table.on("rowClick", (event, row) => { if (!event.target.closest(".tabulator-data-tree-control")) activate(page, row); });
  byId("table").addEventListener("keydown", (event) => {
    const line = event.target.closest?.(".tabulator-row");
    if (!line || !["Enter", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "ArrowDown") line.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") line.previousElementSibling?.focus();
    else if (event.key === "Enter") line.click();
    else line.querySelector(`.tabulator-data-tree-control-${event.key === "ArrowRight" ? "expand" : "collapse"}`)?.parentElement.click();
  });
  return table;
}

function activate(page, row) {
  const { node } = row.getData();
  if (node.children.length) row.treeToggle();
  else page.open(node.members[0], node);
}

// ---- The drawer ---------------------------------------------------------------------------------------------------

function section(title, ...content) {
  return content.length ? [element("h3", {}, title), ...content] : [];
}

const list = (items) => element("ul", {}, ...items.map((item) => element("li", {}, item)));

function drawDrawer(page, index, node) {
  const { model } = page;
  const parameter = model.parameters[index];
  const names = node ? node.members.map((member) => model.parameters[member].name) : [];
  const presets = model.extras.presets;
  const decaying = presets.filter((preset) => decaysByPreset(preset, model.parameters.length)[index]).map((preset) => preset.name);
  const sparing = presets.map((preset) => preset.name).filter((name) => !decaying.includes(name));
  byId("drawer").replaceChildren(
    element("button", { type: "button", className: "close", onclick: () => page.close() }, "Close"),
    element("h2", { className: "mono" }, parameter.name),
    element("p", {}, `${parameter.decay ? `Decays with weight_decay ${parameter.weight_decay}` : parameter.rule === "frozen" ? "Frozen: in no param group" : "Spared: weight_decay 0"}, by rule ${parameter.rule}.`),
    element("p", { className: "quiet" }, `${parameter.role.replaceAll("_", " ")} (${parameter.confidence}) of ${parameter.owner_type ?? parameter.layer}, ${shapeText(parameter.shape)}, ${parameter.dtype}, ${amount(parameter.numel)} elements`),
    ...(names.length > 1 ? section(`One of ${plural(names.length, "parameter")} that are treated alike`, element("details", {}, element("summary", {}, "all names"), list(names))) : []),
    ...(parameter.tied_to.length ? section("Tied to", list(parameter.tied_to)) : []),
    ...section("Findings", ...model.findings[index].map((position) => findingLine(model.report.findings[position]))),
    ...section("Evidence for the role", list(parameter.evidence.map((entry) => `${entry.kind}: ${entry.detail}`))),
    ...section(`Rules of ${model.report.ruleset.name}, first match wins`, rulesTable(model.report.ruleset.rules, parameter.rule)),
    ...(parameter.observed.length ? section("In the optimizer", list(parameter.observed.map((entry) => observedText(entry)))) : []),
    ...updates(model, parameter),
    ...(presets.length ? section("Other rulesets", list([["decay", decaying], ["spare", sparing]].filter(([, names]) => names.length).map(([verb, names]) => `${names.length} ${verb} it: ${names.join(", ")}`))) : []),
    ...section("The same in a terminal", element("code", {}, `decay-audit explain ${shellQuote(model.report.target)} ${shellQuote(parameter.name)}`)),
  );
}

const shellQuote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`);

function findingLine(finding) {
  return element("p", {}, element("b", {}, `${finding.code} `), finding.message, finding.exception === null ? "" : ` (accepted: ${finding.exception})`);
}

function rulesTable(rules, decided) {
  let answer = "no";
  const rows = rules.map((rule) => {
    const here = rule.name === decided ? "yes: decides" : answer;
    if (rule.name === decided) answer = "not asked";
    return element("tr", {}, element("td", { className: "mono" }, rule.name), element("td", {}, here));
  });
  return element("table", {}, element("tbody", {}, ...rows));
}

function observedText(entry) {
  const measured = entry.measured === null ? "" : `; one measured step removes ${Number(entry.measured.toPrecision(3))} x lr of it`;
  return `${groupLabel(entry)}: weight_decay ${coefficient(entry.weight_decay)}, lr ${entry.lr ?? "unknown"}${entry.law ? `, ${entry.law.replaceAll("_", " ")}` : ""}${measured}`;
}

function updates(model, parameter) {
  return parameter.observed.flatMap((entry) => {
    const update = model.extras.updates[`${entry.optimizer}\n${entry.group}`];
    if (!update) return [];
    return section(`A step of ${update.optimizer}`, element("code", { className: "mono" }, update.steps.join("; ")), element("p", {}, update.zero_gradient), update.source ? element("p", { className: "quiet" }, `as in ${update.source}`) : "");
  });
}

// ---- The page -----------------------------------------------------------------------------------------------------

const DEFAULTS = { report: "0", q: "", role: "", layer: "", rule: "", code: "", group: "", finding: "", diff: false, size: "parameters", preset: "", zoom: "", open: "" };

function readHash(differences) {
  const given = new URLSearchParams(window.location.hash.slice(1));
  const view = { ...DEFAULTS, diff: differences };
  for (const [name, value] of given) if (name in DEFAULTS) view[name] = name === "diff" ? value === "1" : value;
  return view;
}

function writeHash(view, differences) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) {
    const usual = name === "diff" ? differences : DEFAULTS[name];
    if (value !== usual) params.set(name, name === "diff" ? (value ? "1" : "0") : value);
  }
  const text = params.toString();
  window.history.replaceState(null, "", text ? `#${text}` : window.location.pathname + window.location.search);
}

class Page {
  constructor(reports, extras) {
    this.reports = reports;
    this.extras = extras;
    this.load(readHash(false).report);
    this.view = readHash(this.differences);
    this.connect();
    this.fillMenus();
    this.draw();
    if (this.view.open) this.openNamed(this.view.open);
  }

  load(position) {
    const index = Number(position) in this.reports ? Number(position) : 0;
    this.model = new Model(this.reports[index], this.extras[index]);
    this.differences = this.model.states.includes("differs");
    document.querySelectorAll("[data-report]").forEach((part) => { part.hidden = Number(part.dataset.report) !== index; });
  }

  connect() {
    const set = (id, name, event = "change") => byId(id).addEventListener(event, () => {
      const input = byId(id);
      this.change({ [name]: input.type === "checkbox" ? input.checked : input.value });
    });
    set("q", "q", "input");
    for (const name of ["role", "layer", "rule", "code", "group", "size", "preset", "diff"]) set(name, name);
    byId("report-menu")?.addEventListener("change", (event) => {
      window.location.hash = `report=${event.target.value}`;
    });
    window.addEventListener("hashchange", () => {
      const before = this.view.report;
      const { report } = readHash(false);
      if (report !== before) { this.load(report); this.table?.destroy(); this.table = null; }
      this.view = readHash(this.differences);
      this.fillMenus();
      this.draw();
    });
    document.querySelectorAll("button[data-filter]").forEach((button) => button.addEventListener("click", () => {
      const chosen = this.view.finding === button.dataset.filter;
      this.change({ finding: chosen ? "" : button.dataset.filter, zoom: "", diff: chosen ? this.differences : false });
    }));
    document.querySelectorAll("button[data-copy]").forEach((button) => button.addEventListener("click", () => copy(button)));
    byId("save").addEventListener("click", () => this.save());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
      if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) { event.preventDefault(); byId("q").focus(); }
    });
    new ResizeObserver(() => drawMap(this)).observe(byId("map"));
  }

  fillMenus() {
    const { parameters, report, extras } = this.model;
    const count = (values) => [...values.reduce((counts, value) => counts.set(value, (counts.get(value) ?? 0) + 1), new Map())];
    fill("role", "any role", count(parameters.map((parameter) => parameter.role)).map(([role, many]) => [role, `${role.replaceAll("_", " ")} (${many})`]));
    fill("layer", "any layer", count(parameters.map((parameter) => parameter.layer)).map(([layer, many]) => [layer, `${layer.replaceAll("_", " ")} (${many})`]));
    fill("rule", "any rule", count(parameters.map((parameter) => parameter.rule)).map(([rule, many]) => [rule, `${rule} (${many})`]));
    fill("code", "any code", count(report.findings.map((finding) => finding.code)).map(([code]) => [code, code]));
    fill("group", "any group", count(parameters.flatMap((parameter) => parameter.observed.map(groupLabel))).map(([group, many]) => [group, `${group} (${many})`]));
    fill("preset", `${report.ruleset.name} (this report)`, extras.presets.map((preset) => [preset.name, preset.title ? `${preset.name}: ${preset.title}` : preset.name]));
  }

  change(part) {
    Object.assign(this.view, part);
    this.draw();
  }

  draw() {
    const { view, model } = this;
    if (model.preset !== view.preset) model.choosePreset(view.preset);
    writeHash(view, this.differences);
    for (const name of ["q", "role", "layer", "rule", "code", "group", "size", "preset"]) if (byId(name).value !== view[name]) byId(name).value = view[name];
    byId("diff").checked = view.diff;
    this.shown = visible(model, view);
    const filtered = this.shown.length < model.parameters.length;
    this.tree = measure(buildTree(model, this.shown), model);
    this.levelsOpen = filtered && this.shown.length <= ROWS_SHOWN_OPEN ? 99 : this.tree.children.length <= 3 ? 2 : 1;
    byId("shown").textContent = filtered ? `${this.shown.length.toLocaleString("en")} of ${plural(model.parameters.length, "parameter")}` : plural(model.parameters.length, "parameter");
    document.querySelectorAll(".finding[data-position]").forEach((card) => card.setAttribute("aria-current", String(card.dataset.position === view.finding)));
    this.drawChips();
    drawMap(this);
    if (this.table) this.table.replaceData(tableRows(this, this.tree));
    else this.table = makeTable(this);
  }

  drawChips() {
    const names = { q: "search", role: "role", layer: "layer", rule: "rule", code: "code", group: "group", finding: "finding", zoom: "module" };
    const chips = Object.entries(names).filter(([name]) => this.view[name] !== "").map(([name, title]) => {
      const value = name === "finding" ? this.model.report.findings[Number(this.view.finding)]?.code : this.view[name];
      return element("button", { type: "button", title: `remove this filter`, onclick: () => this.change({ [name]: "" }) }, `${title}: ${value} ×`);
    });
    byId("chips").replaceChildren(...chips);
  }

  open(index, node = null) {
    drawDrawer(this, index, node);
    this.view.open = this.model.parameters[index].name;
    writeHash(this.view, this.differences);
    hideTip();
    byId("drawer").hidden = false;
    byId("drawer").querySelector("button").focus();
  }

  openNamed(name) {
    const index = this.model.index.get(name);
    if (index !== undefined) this.open(index);
  }

  close() {
    byId("drawer").hidden = true;
    this.view.open = "";
    writeHash(this.view, this.differences);
  }

  save() {
    const text = JSON.stringify(this.reports.length > 1 ? this.reports : this.model.report, null, 1);
    const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "decay.json" });
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

function fill(id, every, options) {
  const menu = byId(id);
  menu.replaceChildren(element("option", { value: "" }, every), ...options.map(([value, label]) => element("option", { value }, label)));
  menu.parentElement.hidden = options.length < (id === "preset" ? 1 : 2);
}

async function copy(button) {
  const text = byId(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

Promise.all([readData("report"), readData("extras")]).then(([reports, extras]) => {
  byId("loading").hidden = true;
  byId("interactive").hidden = false;
  window.page = new Page(reports, extras);
}).catch((error) => { byId("loading").textContent = `The page could not be drawn: ${error.message}`; });
