// Runs before anything is drawn: dark or light as it was chosen, else as the system
// has it.
(() => {
  try {
    const chosen = localStorage.getItem('rookery-theme');
    if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
  } catch { /* a browser that keeps nothing */ }
})();
