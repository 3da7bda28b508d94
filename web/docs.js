"use strict";

// The API is beside this page, also behind a proxy that adds a prefix to its paths.
// The document cannot say so of the token endpoint: generators want an absolute path there.
const beside = (path) => new URL("." + path, document.baseURI).href;

const place = (spec) => {
  spec.servers = [{ url: beside("").replace(/\/$/, "") }];
  const { password } = spec.components.securitySchemes.OAuth2PasswordBearer.flows;
  password.tokenUrl = beside(password.tokenUrl);
  password.refreshUrl = beside(password.refreshUrl);
  return spec;
};

// The dialog opens with the cursor in the first field, and not in the last.
const focusName = () => setTimeout(() => document.querySelector("#oauth_username")?.focus());

const plugin = {
  statePlugins: {
    spec: { wrapActions: { updateJsonSpec: (update) => (spec) => update(place(spec)) } },
    auth: { wrapActions: { showDefinitions: (show) => (...args) => { show(...args); focusName(); } } },
  },
};

// Keys do in the dialog what they do in others: Enter logs in, Escape closes it.
addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector(".modal-ux .close-modal")?.click();
  if (event.key === "Enter" && event.target.matches(".auth-container input") && !event.target.form) {
    event.target.closest(".auth-container").querySelector(".authorize")?.click();
  }
});

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  plugins: [plugin],
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  persistAuthorization: false, // a token belongs into memory, not into localStorage
  validatorUrl: null, // the page works offline and tells nobody that it is open
});
