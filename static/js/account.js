// The question before a key is revoked, in a dialog; without this the link leads to a page that asks the same.

const dialog = document.getElementById("revoke");

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-revoke]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  dialog.querySelector("[data-name]").textContent = link.dataset.revoke;
  dialog.querySelector("form").action = link.href;
  dialog.showModal();
});
