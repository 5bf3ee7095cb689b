// Runs before the first paint, so that a chosen theme does not flash.
try {
  const chosen = localStorage.getItem("ponw-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be blocked; then the system's preference holds.
}
