// The caller, as the authorizer passes it on.
exports.handler = async (event) => event.requestContext.authorizer.lambda;
