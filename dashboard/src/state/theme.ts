/** Light or dark: as the system says, until the person says otherwise on this page. */
import { computed, effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEY = "ironbook.theme";

const kept = localStorage.getItem(KEY);
export const theme = signal<Theme>(kept === "light" || kept === "dark" ? kept : "system");

const system = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", () => (systemDark.value = system.matches));

export const dark = computed(() => (theme.value === "system" ? systemDark.value : theme.value === "dark"));

/** What the style sheet shows by now: whoever reads colours from it waits for this one, not for the wish. */
export const painted = signal(dark.peek());

effect(() => {
  document.documentElement.dataset.theme = dark.value ? "dark" : "light";
  painted.value = dark.value;
  if (theme.value === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme.value);
});

export function toggleTheme(): void {
  theme.value = dark.value ? "light" : "dark";
}
