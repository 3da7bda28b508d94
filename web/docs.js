"use strict";

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  tryItOutEnabled: true,
  persistAuthorization: false, // a token belongs into memory, not into localStorage
  validatorUrl: null, // the page works offline and tells nobody that it is open
});
