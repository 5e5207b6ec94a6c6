// The page: connection, control, and the tabs. Each tab is a module /static/<name>.js with a class Tab.

import { Connection } from "/static/connection.js";
import { element, isByPointer, show } from "/static/elements.js";
import { SceneView } from "/static/scene.js";

const GIVE = "Give control";
const find = (id) => document.getElementById(id);

// Enter and Space are for the page after a click, not for the button that was clicked. The card of a step has its own keys.
function giveUpFocus(event) {
  const focused = document.activeElement;
  if (isByPointer(event) && focused instanceof HTMLButtonElement && !focused.closest("dialog, #path_card")) focused.blur();
}

class Studio {
  constructor() {
    this.tabs = new Map();
    this.shown = null;
    this.hasControl = false;
    this.isControlHeld = false;
    this.isAskedForControl = false;
    this.scene = null;
    this.connection = new Connection({
      opened: () => this.opened(),
      closed: () => this.closed(),
      refused: () => this.refused(),
      event: (event) => this.receive(event),
      frame: (view) => this.tabs.get(this.shown)?.frame?.(view),
    });
    window.addEventListener("click", giveUpFocus);
    for (const kind of ["keydown", "pointerdown"]) window.addEventListener(kind, () => this.forgetRefusal(), { capture: true });
    find("take").addEventListener("click", () => this.order({ control: "take" }));
  }

  async start() {
    const [tabs, description] = await Promise.all([this.load("/tabs.json"), this.load("/scene.json")]);
    this.description = description;
    try {
      if (description.bodies?.length) this.scene = new SceneView(find("canvas"), description);
    } catch (error) {
      console.error(error);
      find("no_picture").hidden = false;
      document.body.classList.add("without_picture");
    }
    this.hasPath = tabs.some(({ name }) => name === "path");
    for (const { name, title } of tabs) {
      const { Tab } = await import(`/static/${name}.js`);
      this.tabs.set(name, new Tab(this));
      if (!title) {
        find("strip").append(this.tabs.get(name).root); // a part of the page that is shown on every tab
        continue;
      }
      const button = element("button", { class: "tab", text: title, "data-tab": name });
      button.addEventListener("click", () => this.clickTab(name));
      find("tabs").append(button);
    }
    const names = tabs.filter(({ title }) => title).map(({ name }) => name);
    find("tabs").hidden = names.length < 2;
    const wanted = location.hash.slice(1);
    this.select(names.includes(wanted) ? wanted : names[0]);
    this.connection.open();
  }

  // A card of the path would cover the tab that a person wants to see.
  clickTab(name) {
    const path = this.tabs.get("path");
    if (path?.opened) path.open("");
    this.select(name);
  }

  select(name) {
    if (name === this.shown) return;
    this.tabs.get(this.shown)?.hide();
    this.shown = name;
    history.replaceState(null, "", `#${name}`);
    for (const button of find("tabs").children) button.setAttribute("aria-current", String(button.dataset.tab === name));
    find("panel").replaceChildren();
    find("overlay").replaceChildren();
    find("dock").replaceChildren();
    this.tabs.get(name).show(find("panel"), find("overlay"), find("dock"));
    find("panel").scrollTop = 0;
    this.connection.tell({ show: name });
    this.showControl();
  }

  opened() {
    show(find("connection"), "connected", "good");
    this.connection.tell({ show: this.shown });
  }

  closed() {
    show(find("connection"), "no connection: trying again", "bad");
    this.setControl(false, true);
    for (const tab of this.tabs.values()) tab.lost?.();
  }

  refused() {
    show(find("connection"), "no connection", "bad");
    this.notice("The studio was started again. Open the address that the terminal prints now.");
  }

  receive(event) {
    if (event.event === "control") {
      this.isAsking = event.asks;
      this.setControl(event.control, event.held);
      this.isAskedForControl = event.asked;
      this.answerRequest();
    } else {
      this.tabs.get(event.tab)?.receive(event);
    }
  }

  // Ask the person whether another page gets control; after an open question, which must not swallow the request.
  async answerRequest() {
    const dialog = find("ask");
    find("ask_more").hidden = !(this.isAskedForControl && dialog.open && dialog.dataset.kind !== GIVE);
    if (!this.isAskedForControl && dialog.open && dialog.dataset.kind === GIVE) this.settle("withdrawn");
    if (!this.isAskedForControl || dialog.open) return;
    const answer = await this.answer("Another page asks for control. Give it?", GIVE, "Keep control");
    if (answer !== "withdrawn") this.order({ control: answer === "yes" ? "give" : "refuse" });
  }

  setControl(hasControl, isHeld) {
    const hasChanged = hasControl !== this.hasControl || isHeld !== this.isControlHeld;
    this.hasControl = hasControl;
    this.isControlHeld = isHeld;
    show(find("take"), this.takeText);
    this.showControl();
    if (hasChanged) for (const tab of this.tabs.values()) tab.controlled?.(hasControl);
  }

  // Words for a page without control: what its button does, and who has control.
  get takeText() {
    return this.isControlHeld ? "Ask for control" : "Take control";
  }

  get holderText() {
    return `${this.isControlHeld ? "another" : "no"} page has control`;
  }

  showControl() {
    const isHidden = this.hasControl || !this.connection.isOpen;
    find("control").hidden = isHidden;
    find("take").hidden = isHidden || this.isAsking;
    show(find("control"), this.isAsking ? "asked for control: the other page has 10 s to refuse" : `watching: ${this.holderText}`, "warn");
  }

  // Send a message and show a refusal.
  async order(message) {
    try {
      const value = await this.connection.ask(message);
      this.notice("");
      return value;
    } catch (refusal) {
      this.notice(refusal.message, "warn");
      return undefined;
    }
  }

  // A refusal (`warn`) disappears with the next key or click.
  notice(text, state = "bad") {
    show(find("notice"), text, state);
    find("notice").hidden = !text;
  }

  forgetRefusal() {
    if (find("notice").dataset.state === "warn") this.notice("");
  }

  // Ask a question; resolves to true for yes. Esc and closing are no.
  async ask(text, yes, no) {
    return (await this.answer(text, yes, no)) === "yes";
  }

  // Ask before something is deleted, such as "5 demos of the run /a/run". The focus is on the button that keeps it.
  async askToReplace(lost) {
    const answer = this.answer(`Replace? ${lost.replace(/^./, (first) => first.toUpperCase())} will be deleted.`, "Replace", "Cancel");
    find("ask_no").focus();
    return (await answer) === "yes";
  }

  answer(text, yes, no) {
    const dialog = find("ask");
    this.resolve?.("no"); // Nobody has answered the last question.
    if (dialog.open) dialog.close();
    find("ask_text").textContent = text;
    find("ask_yes").textContent = yes;
    find("ask_no").textContent = no;
    find("ask_more").hidden = true;
    dialog.dataset.kind = yes;
    find("ask_yes").onclick = () => this.settle("yes");
    find("ask_no").onclick = () => this.settle("no");
    dialog.oncancel = () => this.settle("no"); // Esc
    dialog.onclose = () => dialog.open || this.settle("no"); // This event may come late, when the next question is open.
    dialog.showModal();
    return new Promise((resolve) => { this.resolve = resolve; });
  }

  // Close the question with an answer: yes, no, or withdrawn.
  settle(answer) {
    const [dialog, resolve] = [find("ask"), this.resolve];
    if (!resolve) return;
    this.resolve = null;
    dialog.close();
    if (dialog.contains(document.activeElement)) document.activeElement.blur(); // Keys are for the page again, not for its button.
    if (dialog.dataset.kind === GIVE) this.isAskedForControl = false;
    resolve(answer);
    this.answerRequest();
  }

  async load(path) {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.headers.get("Content-Type").includes("json") ? answer.json() : answer.arrayBuffer();
  }
}

const studio = new Studio();
studio.start().catch((error) => studio.notice(`The studio cannot start: ${error.message}`));
window.studio = studio;
