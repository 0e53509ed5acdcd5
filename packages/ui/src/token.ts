/**
 * The token that the page shows to the chassis: asked for when the chassis wants one, and kept for
 * as long as the tab is open. Run by the browser.
 */
const STORAGE_KEY = "rhone-token";

/** The chassis wants a token, or another one. */
export class TokenNeeded extends Error {}

export function tokenHeaders(): Record<string, string> {
  const token = sessionStorage.getItem(STORAGE_KEY);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** Asks for a token; `why` is what the chassis said. Resolves when the user has given one. */
export function askToken(why: string): Promise<void> {
  const form = document.getElementById("token") as HTMLFormElement;
  const field = form.querySelector("input")!;
  form.querySelector("p")!.textContent = why;
  form.hidden = false;
  field.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault(); // The token must not get into the address.
      sessionStorage.setItem(STORAGE_KEY, field.value.trim());
      field.value = "";
      form.hidden = true;
      resolve();
    };
  });
}
