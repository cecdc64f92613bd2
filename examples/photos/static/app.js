// What the pages do a little better with scripting: likes without a reload, thumbnails that appear
// when they are ready, a look at the picture before it is sent. Everything works without this file.
"use strict";

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

async function call(method, url) {
  return fetch(url, {
    method,
    headers: { Accept: "application/json", "X-CSRF-Token": token },
    credentials: "same-origin",
  });
}

// --- likes: the form is the truth, the button answers at once and goes back when refused
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form[data-like]")) return;
  event.preventDefault();
  const button = form.querySelector("button");
  const number = form.querySelector("[data-count]");
  const liked = button.getAttribute("aria-pressed") === "true";
  const before = Number(number.textContent.replace(/\D/g, ""));
  const show = (pressed, count) => {
    button.setAttribute("aria-pressed", String(pressed));
    form.action = pressed ? form.dataset.unlikeAction : form.dataset.likeAction;
    if (count !== undefined) number.textContent = count;
  };
  button.disabled = true;
  show(!liked, before + (liked ? -1 : 1));
  try {
    const answer = await call(liked ? "DELETE" : "PUT", form.dataset.like);
    if (!answer.ok) throw new Error(String(answer.status));
    const photo = await answer.json();
    show(photo.liked, photo.likes);
  } catch {
    show(liked, before);
  } finally {
    button.disabled = false;
  }
});

// --- thumbnails: ask now and then until the picture is there, with longer and longer breaks
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 5000;
const MOST_QUESTIONS = 60;

async function watch(frame) {
  let wait = FIRST_WAIT_MS;
  for (let asked = 0; asked < MOST_QUESTIONS; asked += 1) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 1.4, LONGEST_WAIT_MS);
    if (document.hidden) continue;
    try {
      const answer = await call("GET", frame.dataset.photo);
      if (answer.status === 404) return;
      const photo = answer.ok ? await answer.json() : {};
      if (photo.ready) return show(frame, photo);
    } catch {
      // the next question may get through
    }
  }
}

function show(frame, photo) {
  const image = new Image();
  image.alt = frame.dataset.alt;
  image.className = "fresh";
  image.width = photo.width;
  image.height = photo.height;
  image.onload = () => {
    frame.querySelector("svg.wait")?.replaceWith(image);
    frame.classList.remove("waiting");
  };
  image.src = frame.dataset.size === "small" ? photo.small_url : photo.large_url;
}

document.querySelectorAll(".waiting[data-photo]").forEach(watch);

// --- upload: show what was chosen
for (const drop of document.querySelectorAll(".drop")) {
  const input = drop.querySelector("input[type=file]");
  const preview = drop.querySelector("[data-preview]");
  input.addEventListener("change", () => {
    const file = input.files[0];
    if (!file) return;
    const image = new Image();
    image.alt = "";
    image.src = URL.createObjectURL(file);
    const name = document.createElement("p");
    name.className = "small soft";
    name.textContent = file.name;
    preview.replaceChildren(image, name);
  });
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, () => drop.classList.add("over"));
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
}

// --- a form is sent once, however often the button is pressed
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-like]") || event.defaultPrevented) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
