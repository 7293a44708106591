// What stands in for modules of Node.js in a page.
module.exports = {};
