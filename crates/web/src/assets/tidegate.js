// Trusted Types: htmx may put what this server sent into the page, and nothing else may.
htmx.registerExtension('tidegate', {
  init(api) {
    if (window.trustedTypes) api.initSecurity(trustedTypes.createPolicy('tidegate', { createHTML: (text) => text }));
  },
});

// `/` goes to the search field, unless something is being typed.
document.addEventListener('keydown', (event) => {
  const typing = event.target.closest('input, textarea, select, [contenteditable]');
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = document.querySelector('#find-user');
  if (!field) return;
  event.preventDefault();
  field.focus();
});

// Copies the text of the element that a button names. Browsers let pages do so over https and on this machine.
for (const button of document.querySelectorAll('[data-copy]')) button.hidden = !navigator.clipboard;
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const label = button.textContent;
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = label; }, 1500);
});

// A form is sent once.
const submits = 'button:not([type=button])';
document.addEventListener('submit', (event) => {
  if (event.target.method !== 'post') return;
  setTimeout(() => { for (const button of event.target.querySelectorAll(submits)) button.disabled = true; }, 0);
});
window.addEventListener('pageshow', () => {
  for (const button of document.querySelectorAll(submits)) button.disabled = false;
});
