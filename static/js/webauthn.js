// Passkeys. <form data-passkey="get"> proves who somebody is, "create" adds one; what the browser answers goes into the
// form's hidden input `credential`. data-options holds what the server asks for; without it, the form's action is asked.

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    const credential = form.elements.namedItem("credential");
    if (credential.value) return; // the second time round: it goes to the server
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button");
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    tell(form, "");
    try {
      credential.value = JSON.stringify(await (form.dataset.passkey === "create" ? create(form) : get(form)));
      form.requestSubmit(button);
    } catch (error) {
      button.ariaBusy = "false";
      tell(form, inWords(error));
    }
  });
}
// Back from the next page: the old answer is worth nothing.
window.addEventListener("pageshow", () => {
  for (const input of document.querySelectorAll("form[data-passkey] [name=credential]")) input.value = "";
});

async function create(form) {
  const { publicKey } = await options(form);
  const isAlone = form.elements.namedItem("passwordless")?.checked ?? false;
  publicKey.authenticatorSelection = {
    ...publicKey.authenticatorSelection,
    residentKey: isAlone ? "required" : "discouraged",
    requireResidentKey: isAlone,
    ...(isAlone && { userVerification: "required" }),
  };
  publicKey.challenge = toBytes(publicKey.challenge);
  publicKey.user.id = toBytes(publicKey.user.id);
  publicKey.excludeCredentials = publicKey.excludeCredentials?.map(withBytes);
  const made = await supported().create({ publicKey });
  return {
    ...described(made),
    response: {
      clientDataJSON: toText(made.response.clientDataJSON),
      attestationObject: toText(made.response.attestationObject),
      transports: made.response.getTransports?.() ?? [],
    },
  };
}

async function get(form) {
  const { publicKey } = await options(form);
  publicKey.challenge = toBytes(publicKey.challenge);
  publicKey.allowCredentials = publicKey.allowCredentials?.map(withBytes);
  const found = await supported().get({ publicKey });
  return {
    ...described(found),
    response: {
      clientDataJSON: toText(found.response.clientDataJSON),
      authenticatorData: toText(found.response.authenticatorData),
      signature: toText(found.response.signature),
      userHandle: found.response.userHandle && toText(found.response.userHandle),
    },
  };
}

async function options(form) {
  if (form.dataset.options) return JSON.parse(form.dataset.options);
  const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.status === 429 ? "too many" : "no answer");
  return (await answer.json()).request_options;
}

function supported() {
  if (!window.PublicKeyCredential) throw new DOMException("", "NotSupportedError");
  return navigator.credentials;
}

function described(credential) {
  return {
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

function withBytes(descriptor) {
  return { ...descriptor, id: toBytes(descriptor.id) };
}

function toBytes(base64url) {
  const binary = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function toText(buffer) {
  const binary = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function tell(form, text) {
  const problem = form.querySelector("[data-problem]");
  problem.hidden = !text;
  problem.querySelector("span").textContent = text;
}

function inWords(error) {
  if (error.name === "NotAllowedError") return "It was cancelled, or it took too long. Try again when you are ready.";
  if (error.name === "InvalidStateError") return "This device has a passkey of your account already.";
  if (error.name === "SecurityError") return `Passkeys belong to a name, and ${location.hostname} is none. Open the site by its name; on this machine that is localhost.`;
  if (error.name === "NotSupportedError") return "This browser cannot use passkeys here. They need https, or localhost.";
  if (error.message === "too many") return "Too many tries in a short time. Wait a minute, then try again.";
  return "The server could not be reached. Try again in a moment.";
}
